"use strict";
const find=document.getElementById("find"),shown=document.getElementById("shown");
const tables=[...document.querySelectorAll(".board table")];
const wanted=new URLSearchParams(location.hash.slice(1));
const keep=()=>location.replace("#"+wanted);
function compare(a,b){
  if(a===""||b==="")return (a==="")-(b==="");
  const x=Number(a),y=Number(b);
  return isNaN(x)||isNaN(y)?a.localeCompare(b):x-y;
}
function sort(table,column,down){
  const body=table.tBodies[0],key=row=>row.cells[column].dataset.sort;
  const rows=[...body.rows].sort((a,b)=>{
    const x=key(a),y=key(b),order=compare(x,y);
    return down&&x!==""&&y!==""?-order:order;
  });
  body.append(...rows);
  [...table.tHead.rows[0].cells].forEach((head,at)=>{
    if(at===column)head.setAttribute("aria-sort",down?"descending":"ascending");
    else head.removeAttribute("aria-sort");
  });
}
function filter(){
  const text=find.value.toLowerCase();let count=0,all=0;
  for(const table of tables)for(const row of table.tBodies[0].rows){
    row.hidden=!row.textContent.toLowerCase().includes(text);
    all++;count+=!row.hidden;
  }
  shown.textContent=text?`${count} of ${all} rows`:"";
}
for(const table of tables){
  [...table.tHead.rows[0].cells].forEach((head,column)=>{
    const button=document.createElement("button");
    button.textContent=head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click",()=>{
      const down=head.getAttribute("aria-sort")!=="descending";
      sort(table,column,down);
      wanted.set(table.id,`${column}${down?"d":"u"}`);keep();
    });
  });
  const given=/^(\d+)([du])$/.exec(wanted.get(table.id)||"");
  if(given&&given[1]<table.tHead.rows[0].cells.length)sort(table,Number(given[1]),given[2]==="d");
}
if(wanted.has("find"))find.value=wanted.get("find");
find.addEventListener("input",()=>{
  filter();
  if(find.value)wanted.set("find",find.value);else wanted.delete("find");
  keep();
});
document.querySelector(".bar").hidden=false;
filter();
const again=document.getElementById("again");
if(again){
  const reload=()=>document.hidden||document.activeElement===find?
    setTimeout(reload,1000):location.reload();
  setTimeout(reload,1000*Number(again.dataset.seconds));
}
