/** The store of cameras -> a tile for each, alive while it can be seen. */

import { el } from "../floor/element.js";
import { CameraTile } from "../parts/camera_tile.js";
import { emptyNotice, loadingNotice, problemNotice } from "../parts/notice.js";
import { panel } from "../parts/panel.js";

export class CamerasPanel {
  #stores;
  #signal;
  #tiles = new Map();
  #list = el("ul", { class: "tiles" });
  #notice = el("div", { class: "notices" }, loadingNotice());
  #watch = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: "80px" });

  constructor(stores, signal) {
    this.#stores = stores;
    this.#signal = signal;
    const body = el("div", { class: "body" }, this.#notice, this.#list);
    this.element = panel("cameras", [], body);
    const { alerts, cameras } = stores;
    cameras.addEventListener("loaded", () => this.#arrange());
    cameras.addEventListener("failed", ({ detail }) => this.#fail(detail));
    cameras.addEventListener("presence", ({ detail }) => this.#tiles.get(detail)?.mark());
    alerts.addEventListener("loaded", () => this.#tiles.forEach((tile) => tile.mark()));
    alerts.addEventListener("changed", ({ detail }) =>
      this.#tiles.get(detail.item.camera_id)?.mark(),
    );
  }

  #arrange() {
    const cameras = this.#stores.cameras.byName;
    const known = new Set(cameras.map((camera) => camera.id));
    for (const [id, tile] of this.#tiles) if (!known.has(id)) this.#drop(id, tile);
    let before = this.#list.firstElementChild;
    for (const camera of cameras) {
      const { element } = this.#tileOf(camera);
      if (element === before) before = before.nextElementSibling;
      else this.#list.insertBefore(element, before);
    }
    this.#notice.replaceChildren(...(cameras.length ? [] : [emptyNotice("cameras.none")]));
  }

  #tileOf(camera) {
    const known = this.#tiles.get(camera.id);
    if (known !== undefined) {
      known.update(camera);
      return known;
    }
    const tile = new CameraTile(camera, this.#stores, this.#signal);
    this.#tiles.set(camera.id, tile);
    this.#watch.observe(tile.element);
    return tile;
  }

  #drop(id, tile) {
    this.#watch.unobserve(tile.element);
    tile.remove();
    this.#tiles.delete(id);
  }

  #see(entries) {
    for (const { target, isIntersecting } of entries) {
      this.#tiles.get(target.dataset.camera)?.see(isIntersecting);
    }
  }

  /** Tiles that are there stay: old pictures are better than none. */
  #fail(problem) {
    if (this.#tiles.size === 0) this.#notice.replaceChildren(problemNotice(problem));
  }
}
