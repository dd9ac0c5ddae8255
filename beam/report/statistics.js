"use strict";
const cards=[...document.querySelectorAll(".card")],box=document.querySelector(".cards");
const find=document.getElementById("find"),kind=document.getElementById("kind");
const sort=document.getElementById("sort"),shown=document.getElementById("shown");
const wanted=new URLSearchParams(location.hash.slice(1));
for(const field of [find,kind,sort]){
  if(wanted.has(field.id))field.value=wanted.get(field.id);
  field.addEventListener("input",update);
}
function update(){
  const text=find.value.toLowerCase();let count=0;
  for(const card of cards){
    const fits=card.dataset.name.toLowerCase().includes(text)&&
      (kind.value==="all"||kind.value===card.dataset.kind);
    card.hidden=!fits;count+=fits;
  }
  const key=sort.value,rank=card=>Number(card.dataset[key]);
  const order=[...cards].sort((a,b)=>key==="name"?a.dataset.name.localeCompare(b.dataset.name):
    key==="order"?rank(a)-rank(b):rank(b)-rank(a)||a.dataset.order-b.dataset.order);
  box.append(...order);
  shown.textContent=`${count} of ${cards.length} features`;
}
document.querySelector(".bar").hidden=false;
update();
