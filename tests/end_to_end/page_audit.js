// What pages.py asks of a page, evaluated inside it. Each function returns a list of faults, as texts.
"use strict";
window.audit = (() => {
  const name = (element) => {
    const id = element.id ? "#" + element.id : "";
    const kind = typeof element.className === "string" && element.className ? "." + element.className.split(/\s+/).join(".") : "";
    const text = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 40);
    const place = element.closest("section, figure, nav, header, footer, li");
    return `${element.tagName.toLowerCase()}${id}${kind} "${text}"` + (place && place !== element ? ` in ${place.tagName.toLowerCase()}${place.id ? "#" + place.id : ""}` : "");
  };
  const seen = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true, contentVisibilityAuto: true });
  const kClips = ["auto", "scroll", "hidden", "clip"];

  // The part of an element's box that its scrolling ancestors let through; null where nothing is left.
  function shown(rect, element) {
    let { left, right, top, bottom } = rect;
    for (let up = element; up && up !== document.body; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (up !== element || style.display !== "inline") {
        const box = up.getBoundingClientRect();
        if (kClips.includes(style.overflowX)) { left = Math.max(left, box.left); right = Math.min(right, box.right); }
        if (kClips.includes(style.overflowY)) { top = Math.max(top, box.top); bottom = Math.min(bottom, box.bottom); }
      }
    }
    return right - left > 0.5 && bottom - top > 0.5 ? { left, right, top, bottom } : null;
  }

  function* texts() {
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const parent = node.parentElement;
      if (!node.data.trim() || ["SCRIPT", "STYLE", "NOSCRIPT", "TITLE"].includes(parent.tagName) || !seen(parent)) continue;
      yield { node, parent };
    }
  }

  function boxes(node) {
    const range = document.createRange();
    range.selectNodeContents(node);
    return [...range.getClientRects()].filter((r) => r.width > 0.5 && r.height > 0.5);
  }

  function overflow() {
    const faults = [], width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth > width + 1) faults.push(`the page is ${document.documentElement.scrollWidth} px wide on ${width} px`);
    for (const element of document.body.querySelectorAll("*")) {
      if (!seen(element) || element.closest(".skip")) continue;
      const rect = shown(element.getBoundingClientRect(), element);
      if (rect && (rect.right > width + 1 || rect.left < -1)) faults.push(`${name(element)} reaches from ${Math.round(rect.left)} to ${Math.round(rect.right)} px of ${width}`);
    }
    // Text that a box of its own cuts off without a way to scroll there.
    for (const { node, parent } of texts()) {
      const style = getComputedStyle(parent);
      if (parent.closest(".span, .skip")) continue;  // bars too short for their fold's number; the rest says it, too
      if (["hidden", "clip"].includes(style.overflowX) && parent.scrollWidth > parent.clientWidth + 1) faults.push(`${name(parent)} is cut off`);
    }
    for (const heading of document.querySelectorAll(".slant span")) {
      if (!seen(heading)) continue;
      const high = heading.getBoundingClientRect().top - heading.closest(".scroll").getBoundingClientRect().top;
      if (high < -1) faults.push(`${name(heading)} is cut off by ${Math.round(-high)} px at its top`);
    }
    return faults;
  }

  function overlap() {
    const found = [];
    for (const { node, parent } of texts()) {
      // Turned headings: their boxes cross though their letters don't. Navigation and first columns stay in place over the rest.
      if (parent.closest(".slant, .skip, nav, .span")) continue;
      if (parent.closest(".scroll") && parent.closest("th:first-child")) continue;
      for (const box of boxes(node)) {
        const rect = shown(box, parent);
        if (rect) found.push({ rect, parent, node });
      }
    }
    found.sort((a, b) => a.rect.top - b.rect.top);
    const faults = [];
    for (let i = 0; i < found.length; ++i) {
      const a = found[i];
      for (let j = i + 1; j < found.length && found[j].rect.top < a.rect.bottom - 3; ++j) {
        const b = found[j];
        if (a.node === b.node) continue;
        const wide = Math.min(a.rect.right, b.rect.right) - Math.max(a.rect.left, b.rect.left);
        const high = Math.min(a.rect.bottom, b.rect.bottom) - Math.max(a.rect.top, b.rect.top);
        if (wide > 2 && high > 3) faults.push(`${name(a.parent)} lies over ${name(b.parent)}`);
      }
    }
    return faults;
  }

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  function parse(text) {
    const plain = text.match(/^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/);
    if (plain) return [plain[1] / 255, plain[2] / 255, plain[3] / 255, plain[4] === undefined ? 1 : Number(plain[4])];
    const mixed = text.match(/^color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)(?: \/ ([\d.]+))?\)$/);
    if (mixed) return [Number(mixed[1]), Number(mixed[2]), Number(mixed[3]), mixed[4] === undefined ? 1 : Number(mixed[4])];
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const data = canvas.getImageData(0, 0, 1, 1).data;
    return [data[0] / 255, data[1] / 255, data[2] / 255, data[3] / 255];
  }
  const over = (top, below) => {
    const a = top[3] + below[3] * (1 - top[3]);
    return a === 0 ? [0, 0, 0, 0] : [0, 1, 2].map((c) => (top[c] * top[3] + below[c] * below[3] * (1 - top[3])) / a).concat(a);
  };
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };

  // Every colour that may lie behind an element: gradients give one for each of their stops.
  function grounds(element) {
    const layers = [];
    for (let up = element; up; up = up.parentElement) {
      const style = getComputedStyle(up);
      const stops = style.backgroundImage === "none" ? [] : (style.backgroundImage.match(/(rgba?|color)\([^()]*\)/g) || []).map(parse);
      if (stops.length) layers.push(stops);
      const colour = parse(style.backgroundColor);
      if (colour[3] > 0) layers.push([colour]);
      if (colour[3] === 1 || stops.length && stops.every((s) => s[3] === 1)) break;
    }
    let result = [parse(getComputedStyle(document.documentElement).colorScheme.includes("dark") && matchMedia("(prefers-color-scheme: dark)").matches ? "rgb(18, 18, 18)" : "rgb(255, 255, 255)")];
    for (const layer of layers.reverse()) result = result.flatMap((below) => layer.map((top) => over(top, below)));
    return result;
  }

  function contrast() {
    const faults = new Map();
    const asked = new Map();
    for (const { node, parent } of texts()) {
      if (!boxes(node).some((box) => shown(box, parent))) continue;
      if (asked.has(parent)) continue;
      asked.set(parent, true);
      const style = getComputedStyle(parent);
      const svg = parent.closest("svg");
      const ink = parse(svg && style.fill !== "none" ? style.fill : style.color);
      let opacity = 1;
      for (let up = parent; up; up = up.parentElement) opacity *= Number(getComputedStyle(up).opacity);
      ink[3] *= opacity;
      const size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
      const needed = size >= 24 || bold && size >= 18.66 ? 3 : 4.5;
      const worst = Math.min(...grounds(parent).map((ground) => ratio(over(ink, ground), ground)));
      if (worst < needed - 0.005) {
        const kind = `${parent.tagName.toLowerCase()}.${parent.getAttribute("class") || ""}`;
        if (!faults.has(kind)) faults.set(kind, `contrast ${worst.toFixed(2)} instead of ${needed}: ${name(parent)}`);
      }
    }
    return [...faults.values()];
  }

  // Whatever reacts to a pointer, in the order of the document.
  const kInteractive = "a[href], button, summary, input, select, textarea, [tabindex='0']";
  const targets = () => [...document.querySelectorAll(kInteractive)].filter((e) => seen(e) && !(e.closest("details:not([open])") && !e.matches("summary")));
  function expectStops() {
    window.auditTargets = targets();
    return window.auditTargets.length;
  }
  // Where the focus is: place among the targets, and whether a reader sees it.
  function stop() {
    const active = document.activeElement;
    if (!active || active === document.body || active === document.documentElement) return null;
    const style = getComputedStyle(active), box = active.getBoundingClientRect();
    const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
    return { place: window.auditTargets.indexOf(active), name: name(active), ring, inside: box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth };
  }

  function structure() {
    const faults = [];
    if (!document.title) faults.push("no title");
    if (!document.documentElement.lang) faults.push("no language");
    if (document.querySelectorAll("h1").length !== 1) faults.push(`${document.querySelectorAll("h1").length} headings of the first level`);
    if (document.querySelectorAll("main").length !== 1) faults.push("no main part");
    let level = 0;
    for (const heading of document.querySelectorAll("h1, h2, h3, h4")) {
      const own = Number(heading.tagName[1]);
      if (own > level + 1) faults.push(`${name(heading)} skips a level`);
      level = own;
    }
    const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
    for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) faults.push(`id ${id} twice`);
    for (const link of document.querySelectorAll("a[href^='#']")) if (!document.getElementById(link.hash.slice(1))) faults.push(`${name(link)} leads nowhere`);
    for (const image of document.images) {
      if (image.loading !== "lazy") faults.push(`${name(image)} is not lazy`);
      if (!image.alt) faults.push(`an image without a text, ${image.src.slice(0, 30)}`);
    }
    for (const part of document.querySelectorAll("canvas, svg")) if (seen(part) && (part.getAttribute("role") !== "img" || !part.getAttribute("aria-label"))) faults.push(`${name(part)} has no name`);
    for (const part of document.body.querySelectorAll("*")) {
      if (!seen(part)) continue;
      const style = getComputedStyle(part);
      const scrolls = ["auto", "scroll"].includes(style.overflowX) && part.scrollWidth > part.clientWidth + 1;
      if (scrolls && part.tabIndex < 0 && !part.querySelector("a[href], button")) faults.push(`${name(part)} scrolls, but not by keyboard`);
    }
    return faults;
  }

  async function images() {
    const faults = [];
    for (const image of document.images) {
      if (!seen(image)) continue;
      image.scrollIntoView();
      try {
        await image.decode();
      } catch (error) {
        faults.push(`${image.alt}: ${error.message}`);
      }
      if (!image.naturalWidth) faults.push(`${image.alt} is empty`);
    }
    return faults;
  }

  const nameOf = (place) => name(window.auditTargets[place]);

  return { nameOf, overflow, overlap, contrast, structure, images, expectStops, stop };
})();
