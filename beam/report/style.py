"""Style and script of the statistics page. Nothing is loaded; without the script all is shown."""

STYLE = """
:root{color-scheme:light dark;--back:#f6f7f9;--card:#fff;--text:#1c2430;--soft:#5d6877;
--line:#e1e5ea;--train:#3c6fd1;--validation:#d98a1e;--test:#25906f;--warn:#8a5200;--warnback:#fdefd2;
--bad:#a3231b;--badback:#fde0dd;--hover:#3c6fd114}
@media(prefers-color-scheme:dark){:root{--back:#12161c;--card:#1b2129;--text:#e4e8ee;--soft:#9aa5b4;
--line:#2e3743;--train:#6f9cf0;--validation:#e8a84a;--test:#4cc09a;--warn:#f0c070;--warnback:#43330f;
--bad:#ff9d94;--badback:#4d1d1a;--hover:#6f9cf022}}
*{box-sizing:border-box}
body{margin:0;padding:24px;background:var(--back);color:var(--text);
font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1760px;margin:0 auto}
h1{font-size:22px;margin:0 0 2px}h2{font-size:16px;margin:0;overflow-wrap:anywhere}
h3{font-size:12px;font-weight:600;color:var(--soft);margin:14px 0 4px}
.soft,caption{color:var(--soft)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:18px 0}
.tile,.card,.bar{background:var(--card);border:1px solid var(--line);border-radius:10px}
.tile{padding:10px 14px}.tile b{display:block;font-size:20px;font-variant-numeric:tabular-nums}
.rows{display:flex;height:14px;border-radius:7px;overflow:hidden;margin:6px 0;
background:var(--line)}
.rows i{display:block;min-width:2px}.rejected{background:var(--bad)}
.kept{background:var(--train)}.filtered{background:var(--validation)}
.bar{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:10px 18px;align-items:center;
padding:8px 14px;margin:0 0 16px}
.bar input,.bar select{font:inherit;color:inherit;background:var(--back);padding:4px 8px;
border:1px solid var(--line);border-radius:6px}
.bar input{width:170px}
.key{display:inline-flex;gap:14px;margin-left:auto}
.key span::before{content:"";display:inline-block;width:10px;height:10px;border-radius:3px;
margin-right:5px;background:var(--c)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(480px,100%),1fr));gap:16px}
.card{padding:14px 16px;min-width:0}
.card header{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:baseline;margin-bottom:8px}
.tag{font-size:12px;color:var(--soft);border:1px solid var(--line);border-radius:9px;padding:0 8px}
table{border-collapse:collapse;width:100%;font-size:13px;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto}
th,td{text-align:right;padding:2px 5px;white-space:nowrap}
th{font-weight:500;color:var(--soft);font-size:12px}
th:first-child,td:first-child{text-align:left;padding-left:0}
tbody tr{border-top:1px solid var(--line)}
.warn{color:var(--warn);background:var(--warnback);border-radius:4px}
.bad{color:var(--bad);background:var(--badback);border-radius:4px;font-weight:600}
.dot::before{content:"";display:inline-block;width:8px;height:8px;border-radius:2px;margin-right:6px;
background:var(--c)}
.c-train{--c:var(--train)}.c-validation{--c:var(--validation)}.c-test{--c:var(--test)}
svg{display:block;width:100%;height:auto;margin-top:8px}
svg text{fill:var(--soft);font-size:11px}
svg .grid,svg .tick{stroke:var(--line);fill:none}
svg .hover{fill:transparent}svg g:hover .hover{fill:var(--hover)}
svg .train{fill:var(--train)}svg .validation{fill:var(--validation)}svg .test{fill:var(--test)}
.top td:first-child{max-width:190px;overflow:hidden;text-overflow:ellipsis}
.top td.bars{width:55%;padding:3px 6px}
.bars i{display:block;height:4px;margin:1px 0;border-radius:2px;background:var(--c);min-width:1px}
.top tr{border:0}
details{margin-top:8px}summary{cursor:pointer;color:var(--soft);font-size:12px}
[hidden]{display:none}
@media print{.bar{display:none}.card{break-inside:avoid}}
"""

SCRIPT = """
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
"""
