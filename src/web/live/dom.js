// Text from messages, errors and instances gets into the page through here alone, as text: never as markup.

/** An element with attributes, properties that are functions as listeners, and children: nodes or text. */
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === 'function') node.addEventListener(key, value);
    else if (value !== undefined && value !== false)
      node.setAttribute(key, value === true ? '' : String(value));
  }
  node.append(...children.filter((child) => child !== undefined && child !== ''));
  return node;
}

const SVG = 'http://www.w3.org/2000/svg';

export function shape(name, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

export function crown() {
  return shape('svg', { class: 'crown', 'aria-hidden': 'true' }, shape('use', { href: '#crown' }));
}

export const byId = (id) => document.getElementById(id);

/** Leaves alone what is right already: what is selected stays selected, and nothing is announced twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * Makes the children of `parent` those of `items`, in order, keeping the node of each: what has focus keeps it.
 *
 * @param key of an item, unique
 * @param create gives the node of a new item
 * @param update brings a node up to date
 */
export function showList(parent, items, key, create, update) {
  const old = new Map([...parent.children].map((node) => [node.dataset.key, node]));
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = String(key(item));
    const node = old.get(name) ?? create(item);
    old.delete(name);
    node.dataset.key = name;
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
  for (const node of old.values()) node.remove();
}
