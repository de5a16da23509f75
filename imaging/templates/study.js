"use strict";
const film = document.getElementById("film");
const marks = document.getElementById("marks");
const svgNamespace = "http://www.w3.org/2000/svg";

const numbers = (text) => text.split(",").map(Number);
const dot = (one, two) => one.reduce((sum, value, axis) => sum + value * two[axis], 0);
const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
const minus = (one, two) => one.map((value, axis) => value - two[axis]);

/* A plane: its slabs with their places in the patient, and the one that shows. */
class Stack {
  constructor(figure) {
    this.figure = figure;
    this.slider = figure.querySelector("input");
    this.output = figure.querySelector("output");
    this.slabs = Array.from(figure.querySelectorAll(".slab"), (element) => {
      const right = numbers(element.dataset.right);
      const down = numbers(element.dataset.down);
      const pixel = Number(element.dataset.pixel);
      return { element, centre: numbers(element.dataset.centre), right, down, across: cross(right, down), pixel };
    });
    this.at = Number(this.slider.value);
    const { width, height } = this.slab.element.querySelector("svg").viewBox.baseVal;
    figure.style.flexGrow = String(width / height); /* so that all planes are equally high */
  }
  get slab() {
    return this.slabs[this.at];
  }
  show(index) {
    const next = Math.min(Math.max(index, 0), this.slabs.length - 1);
    this.slab.element.hidden = true;
    this.at = next;
    this.slab.element.hidden = false;
    this.slider.value = String(next);
    this.output.textContent = `${next + 1} of ${this.slabs.length}`;
  }
  showPoint(point) {
    const distances = this.slabs.map((slab) => Math.abs(dot(minus(point, slab.centre), slab.across)));
    this.show(distances.indexOf(Math.min(...distances)));
  }
  pointAt(event) {
    const slab = this.slab;
    const box = slab.element.querySelector("img").getBoundingClientRect();
    const svg = slab.element.querySelector("svg").viewBox.baseVal;
    const column = ((event.clientX - box.left) / box.width) * svg.width - 0.5;
    const row = ((event.clientY - box.top) / box.height) * svg.height - 0.5;
    return slab.centre.map((value, axis) => value + (slab.right[axis] * column + slab.down[axis] * row) * slab.pixel);
  }
  /* Lines where the slabs that show in the other planes cut this one. */
  drawGuides(others) {
    const svg = this.slab.element.querySelector("svg");
    for (const old of svg.querySelectorAll("line")) old.remove();
    const { width, height } = svg.viewBox.baseVal;
    for (const other of others) {
      const offset = minus(other.slab.centre, this.slab.centre);
      const isUpright = Math.abs(dot(other.slab.across, this.slab.right)) > 0.7;
      const place = dot(offset, isUpright ? this.slab.right : this.slab.down) / this.slab.pixel + 0.5;
      const line = document.createElementNS(svgNamespace, "line");
      const ends = isUpright ? [place, 0, place, height] : [0, place, width, place];
      ["x1", "y1", "x2", "y2"].forEach((name, index) => line.setAttribute(name, String(ends[index])));
      svg.append(line);
    }
  }
}

if (film) {
  const stacks = Array.from(film.querySelectorAll(".pane"), (figure) => new Stack(figure));
  const guide = () => stacks.forEach((stack) => stack.drawGuides(stacks.filter((other) => other !== stack)));
  for (const stack of stacks) {
    stack.slider.addEventListener("input", () => { stack.show(Number(stack.slider.value)); guide(); });
    stack.figure.addEventListener("wheel", (event) => {
      const before = stack.at;
      stack.show(stack.at + Math.sign(event.deltaY));
      if (stack.at !== before) event.preventDefault(); /* at either end the page scrolls on */
      guide();
    }, { passive: false });
    stack.figure.addEventListener("click", (event) => {
      if (!event.target.closest(".slab")) return;
      const point = stack.pointAt(event);
      stacks.filter((other) => other !== stack).forEach((other) => other.showPoint(point));
      guide();
    });
  }
  const toggleMarks = () => {
    const shown = marks.getAttribute("aria-pressed") !== "true";
    marks.setAttribute("aria-pressed", String(shown));
    film.classList.toggle("no-marks", !shown);
  };
  marks.addEventListener("click", toggleMarks);
  document.addEventListener("keydown", (event) => {
    if (event.key === "m" && !event.ctrlKey && !event.metaKey && !event.altKey) toggleMarks();
  });
  for (const button of document.querySelectorAll("[data-point]")) {
    button.addEventListener("click", () => {
      const point = numbers(button.dataset.point);
      const id = button.closest("tr").dataset.nodule;
      for (const old of document.querySelectorAll(".chosen")) old.classList.remove("chosen");
      for (const element of document.querySelectorAll(`[data-nodule="${id}"]`)) element.classList.add("chosen");
      stacks.forEach((stack) => stack.showPoint(point));
      guide();
      film.scrollIntoView({ block: "nearest", behavior: "smooth" });
    });
  }
  guide();
}
