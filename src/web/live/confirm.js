import { byId, setText } from './dom.js';

export function setUpConfirm() {
  const dialog = byId('sure');
  dialog.addEventListener('click', ({ target }) => {
    if (target instanceof HTMLButtonElement) dialog.close(target.value);
  });
}

/** Asks for confirmation of something that cannot be undone. Resolves with whether the answer is yes. */
export function confirmed({ title, text, yes }) {
  const dialog = byId('sure');
  setText(byId('sure-title'), title);
  setText(byId('sure-text'), text);
  setText(dialog.querySelector('.strong'), yes);
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) =>
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }),
  );
}
