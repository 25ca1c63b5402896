/** A picture that is dropped on the page, pasted or chosen -> a file, with its preview. */

import { Problem } from "../floor/api.js";
import { el, icon } from "../floor/element.js";
import { t } from "../floor/language.js";

const KINDS = ["image/jpeg", "image/png"];

/** chosen(file or null): hears what is there now. refused(problem): what was no such picture. */
export function imageDrop(chosen, refused) {
  const input = el("input", {
    type: "file",
    accept: KINDS.join(),
    class: "unseen",
    onchange: () => take(input.files[0]),
  });
  const preview = el("img", { alt: () => t("search.preview"), hidden: true });
  const words = el(
    "span",
    { class: "invitation" },
    icon("drop"),
    el("strong", {}, () => t("search.drop")),
    el("span", { class: "hint" }, () => t("search.or")),
  );
  const element = el("label", { class: "drop", "data-drop": "empty" }, input, preview, words);
  listen(document, take);
  return element;

  function take(file) {
    if (file === undefined) return;
    if (!KINDS.includes(file.type)) {
      refused(new Problem(0, "not_an_image", file.type));
      return;
    }
    URL.revokeObjectURL(preview.src);
    preview.src = URL.createObjectURL(file);
    preview.hidden = false;
    element.dataset.drop = "filled";
    chosen(file);
  }
}

/** The whole page takes a picture: a drop beside the mark would else leave the page. */
function listen(page, take) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  page.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    page.body.dataset.dragging = "";
  });
  page.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) delete page.body.dataset.dragging;
  });
  page.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    delete page.body.dataset.dragging;
    take(event.dataTransfer.files[0]);
  });
  page.addEventListener("paste", (event) => take(event.clipboardData?.files[0]));
}
