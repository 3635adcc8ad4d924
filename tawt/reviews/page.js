"use strict";
{
  const form = document.querySelector("form");
  const review = document.querySelector("main").dataset.review;
  const records = [...document.querySelectorAll("article")];
  const place = "tawt-review-" + review;
  const flags = ["order", "value", "combination"];
  const scales = ["invented", "plausible"];
  const show = (id, text) => { document.getElementById(id).textContent = text; };
  let state = { rater: "", answers: {} };
  let at = 0;
  let keeps = true;
  let unsaved = false;

  try {
    const kept = JSON.parse(localStorage.getItem(place));
    if (kept && kept.answers) state = kept;
  } catch { keeps = false; }

  const rated = (item) => scales.every((name) => state.answers[item] && state.answers[item][name]);

  function keep() {
    unsaved = true;
    try { localStorage.setItem(place, JSON.stringify(state)); } catch { keeps = false; }
    if (!keeps) show("said", "This browser keeps nothing: save a file before you close the page.");
  }

  function progress() {
    const n = records.filter((_, i) => rated(i + 1)).length;
    form.querySelector("progress").value = n;
    show("progress", n + " of " + records.length + " rated on both scales");
  }

  function go(to) {
    at = Math.max(0, Math.min(records.length - 1, to));
    records.forEach((record, i) => { record.hidden = i !== at; });
    show("which", "Record " + (at + 1) + " of " + records.length);
    const answer = state.answers[at + 1] || {};
    for (const name of scales)
      for (const input of form.elements[name]) input.checked = Number(input.value) === answer[name];
    for (const name of flags) form.elements[name].checked = Boolean(answer[name]);
    form.elements.note.value = answer.note || "";
    form.elements.rater.value = state.rater;
    window.scrollTo(0, 0);
    progress();
  }

  function read() {
    const answer = { item: at + 1 };
    for (const name of scales) answer[name] = Number(form.elements[name].value) || null;
    for (const name of flags) answer[name] = form.elements[name].checked;
    answer.note = form.elements.note.value.trim();
    state.answers[at + 1] = answer;
    state.rater = form.elements.rater.value.trim();
    keep();
    progress();
  }

  function save() {
    if (!state.rater) {
      show("said", "Write your initials first: answers are told apart by them.");
      form.elements.rater.focus();
      return;
    }
    const answers = Object.values(state.answers).filter((answer) =>
      scales.some((name) => answer[name]) || flags.some((name) => answer[name]) || answer.note);
    const text = JSON.stringify({ format: "tawt.review/1", review, rater: state.rater,
      saved: new Date().toISOString(), answers }, null, 1);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    link.download = "answers-" + review + "-" + state.rater.replace(/[^A-Za-z0-9]+/g, "_") + ".json";
    link.click();
    unsaved = false;
    show("said", "Saved " + answers.length + " answers as " + link.download);
  }

  function afresh() {
    if (!confirm("Remove the answers from this page? Save them as a file first.")) return;
    state = { rater: "", answers: {} };
    keep();
    unsaved = false;
    go(0);
  }

  function choose(name, value) {
    for (const input of form.elements[name]) input.checked = input.value === value;
    read();
  }

  form.addEventListener("input", read);
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("back").addEventListener("click", () => go(at - 1));
  document.getElementById("next").addEventListener("click", () => go(at + 1));
  document.getElementById("save").addEventListener("click", save);
  document.getElementById("afresh").addEventListener("click", afresh);
  document.getElementById("open").addEventListener("click", () => {
    const order = records.map((_, i) => (at + 1 + i) % records.length);
    const open = order.find((i) => !rated(i + 1));
    if (open === undefined) show("said", "All are rated."); else go(open);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = event.target.matches("textarea, input[type=text]");
    const arrows = typing || event.target.matches("input[type=radio]");
    const digit = /^(?:Digit|Numpad)([1-5])$/.exec(event.code);
    if (digit && !typing) {
      choose(event.shiftKey ? "plausible" : "invented", digit[1]);
      event.preventDefault();
    } else if (!arrows && event.key === "ArrowRight") go(at + 1);
    else if (!arrows && event.key === "ArrowLeft") go(at - 1);
  });
  window.addEventListener("beforeunload", (event) => { if (unsaved && !keeps) event.preventDefault(); });
  go(0);
}
