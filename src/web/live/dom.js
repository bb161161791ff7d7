// All text from messages, errors and instances enters the page through these functions, as text and never as markup.

/** Creates an element. Attributes that are functions become event listeners; children are nodes or text. */
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

/** The mark of a generator, or of the keeper. */
const mark = (name) =>
  shape('svg', { class: name, 'aria-hidden': 'true' }, shape('use', { href: `#${name}` }));

export const crown = () => mark('crown');
export const keeperMark = () => mark('keeper-mark');

export const byId = (id) => document.getElementById(id);

/** Does nothing if the text is the same: a selection survives, and screen readers do not announce it twice. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** The pieces of a name, with possible line breaks between them: after its colons, dots, dashes and slashes. */
export const breakable = (name) =>
  name
    .split(/(?<=[:./_-])/)
    .flatMap((piece, index) => (index === 0 ? [piece] : [document.createElement('wbr'), piece]));

/**
 * Makes the children of `parent` match `items`, in order. Existing nodes are reused, so that focus is kept.
 *
 * @param key returns an item's unique key
 * @param create returns the node for a new item
 * @param update updates a node
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
