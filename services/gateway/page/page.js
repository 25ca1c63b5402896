/** The address -> a session -> the page: the feed into the stores, the stores into the panels. */

import { alertDetail } from "./details/alert.js";
import { cameraDetail } from "./details/camera.js";
import { personDetail } from "./details/person.js";
import { Sheet } from "./details/sheet.js";
import { Problem, doorbell } from "./floor/api.js";
import { el, icon } from "./floor/element.js";
import { Feed } from "./floor/feed.js";
import { knows, preferred, speak, t } from "./floor/language.js";
import { enter } from "./floor/session.js";
import { tellAgain } from "./floor/telling.js";
import { AccountsLine } from "./panels/accounts.js";
import { AlertsPanel } from "./panels/alerts.js";
import { bar } from "./panels/bar.js";
import { CamerasPanel } from "./panels/cameras.js";
import { gate } from "./panels/gate.js";
import { PeoplePanel } from "./panels/people.js";
import { SearchPanel } from "./panels/search.js";
import { keepTime } from "./parts/moment.js";
import { problemNotice } from "./parts/notice.js";
import { Alerts } from "./stores/alerts.js";
import { Cameras } from "./stores/cameras.js";
import { People } from "./stores/people.js";

const DETAILS = { alerts: alertDetail, cameras: cameraDetail, persons: personDetail };
const AGAIN_MS = 2_000;

const top = document.querySelector("#bar");
const main = document.querySelector("#main");
const foot = document.querySelector("#foot");

/** Shows the city to whoever has a session. */
function openCity() {
  const leaving = new AbortController();
  const { signal } = leaving;
  doorbell.addEventListener(
    "unauthenticated",
    () => {
      leaving.abort();
      showGate("over");
    },
    { once: true },
  );
  const feed = new Feed(signal);
  const stores = {
    alerts: new Alerts(feed),
    cameras: new Cameras(feed, signal),
    people: new People(feed),
  };
  const panels = [
    new AlertsPanel(stores),
    new CamerasPanel(stores, signal),
    new SearchPanel(stores),
    new PeoplePanel(stores),
  ];
  const sheet = new Sheet(DETAILS, stores, signal);
  document.body.dataset.page = "city";
  top.replaceChildren(...bar(feed, stores));
  main.replaceChildren(...panels.map((panel) => panel.element), sheet.element);
  foot.replaceChildren(new AccountsLine(signal).element, tabs());
  // Whatever names a camera is told its name when this is known, or has changed.
  stores.cameras.addEventListener("loaded", () => tellAgain());
  feed.open();
  sheet.follow();
}

/** On a narrow screen one panel is shown at a time. */
function tabs() {
  const names = ["alerts", "cameras", "people", "search"];
  const show = (name) => {
    document.body.dataset.tab = name;
    for (const tab of list.children) tab.setAttribute("aria-pressed", tab.value === name);
  };
  const list = el(
    "nav",
    { class: "tabs", "aria-label": () => t("tabs") },
    names.map((name) =>
      el(
        "button",
        { type: "button", value: name, onclick: () => show(name) },
        icon(`tab-${name}`),
        () => t(`tab.${name}`),
      ),
    ),
  );
  show(names[0]);
  return list;
}

function showGate(why) {
  document.body.dataset.page = "gate";
  top.replaceChildren(...bar());
  main.replaceChildren(gate(why));
  foot.replaceChildren();
}

async function start() {
  try {
    await speak(preferred());
    const session = await enter();
    if (session === "open") openCity();
    else showGate(session);
  } catch (problem) {
    // The ticket is still in the address: the page comes in as soon as somebody answers.
    if (!(problem instanceof Problem)) throw problem;
    if (knows("page.title")) main.replaceChildren(problemNotice(problem));
    setTimeout(start, AGAIN_MS);
  }
}

keepTime();
start();
