// Build elements. Text is always text: no name, path or prompt becomes markup.

/** Return an element. Properties that begin with "on" are listeners; null and false are left out. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name === "width%") made.style.width = `${value}%`;
    else if (name === "left%") made.style.left = `${value}%`;
    else if (name in made && !name.includes("-") && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  put(made, ...children);
  return made;
}

/** Append children: elements, texts, and lists of these. */
export function put(parent, ...children) {
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) {
      parent.append(child instanceof Node ? child : String(child));
    }
  }
  return parent;
}

/** Replace what an element holds. */
export function fill(parent, ...children) {
  parent.replaceChildren();
  return put(parent, ...children);
}

/** Return the first element that a selector names. */
export const one = (selector, within = document) => within.querySelector(selector);

/** Return all elements that a selector names. */
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/** Tell a screen reader, and show for a moment, what has happened. */
export function tell(message, { problem = false } = {}) {
  const status = one("#status");
  status.hidden = false;
  status.classList.toggle("problem", problem);
  status.textContent = message;
  clearTimeout(tell.timer);
  if (!problem) tell.timer = setTimeout(() => { status.hidden = true; }, 6000);
}
