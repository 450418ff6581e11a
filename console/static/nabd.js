// What the pages do without asking the server: ages that grow, values that go stale, and the map's circles.
(() => {
  "use strict";
  const root = document.documentElement;
  const language = (root.lang || "en").slice(0, 2);
  const locale = { ar: "ar-MA-u-nu-latn", fr: "fr", en: "en-GB" }[language] || "en-GB";
  root.dir = language === "ar" ? "rtl" : "ltr";
  document.cookie = `nabd_language=${language};path=/;max-age=31536000;samesite=lax`;

  // City time: told by the server now and then (#nabd-clock), running on by the browser's own steady clock.
  const city = { at: Date.now(), since: performance.now(), speed: 1, told: "" };
  const cityNow = () => city.at + (performance.now() - city.since) * city.speed;

  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "always", style: "short" });
  const UNITS = [["day", 86400, 129600], ["hour", 3600, 5400], ["minute", 60, 60], ["second", 1, 0]]; // from so many s
  const lengths = Object.fromEntries(UNITS.map(([unit]) => [
    unit, new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: language === "ar" ? "long" : "short" }),
  ]));
  function age(ms, form) {
    const seconds = Math.round((ms - cityNow()) / 1000);
    const [unit, length] = UNITS.find(([, , from]) => Math.abs(seconds) >= from);
    const number = Math.trunc(seconds / length);
    return form === "length" ? lengths[unit].format(Math.abs(number)) : relative.format(number, unit);
  }

  function paint(scope) {
    const now = cityNow();
    for (const element of scope.querySelectorAll("time[data-at]")) {
      const text = age(Number(element.dataset.at), element.dataset.form);
      if (element.textContent !== text) element.textContent = text;
    }
    for (const element of scope.querySelectorAll("[data-stale]")) {
      element.classList.toggle("is-stale", now > Number(element.dataset.stale));
    }
  }

  function tick() {
    const told = document.getElementById("nabd-clock");
    if (told) {
      if (told.dataset.now !== city.told) {
        Object.assign(city, { at: Number(told.dataset.now), since: performance.now(), speed: Number(told.dataset.speed) });
        city.told = told.dataset.now;
      }
      const text = new Intl.DateTimeFormat(locale, {
        timeZone: "UTC", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
      }).format(cityNow() + Number(told.dataset.offset)); // the zone's offset comes from the server: browsers differ
      if (told.textContent !== text) told.textContent = text;
    }
    paint(document);
  }
  setInterval(tick, 1000);
  document.addEventListener("DOMContentLoaded", () => {
    tick();
    new MutationObserver((changes) => {
      const added = changes.some((change) => [...change.addedNodes].some((node) => node.nodeType === 1));
      if (added) tick();
    }).observe(document.body, { childList: true, subtree: true });
  });

  // ---------------------------------------------------------------- theme
  const THEMES = { auto: null, light: false, dark: true };
  window.nabdTheme = {
    get: () => (document.cookie.match(/nabd_theme=(\w+)/) || [, "auto"])[1],
    next() {
      const isDark = document.body.classList.contains("body--dark");
      const theme = isDark ? "light" : "dark";
      document.cookie = `nabd_theme=${theme};path=/;max-age=31536000;samesite=lax`;
      window.Quasar.Dark.set(THEMES[theme]);
      setTimeout(() => Object.values(maps).forEach((map) => map.restyle()), 50);
    },
  };
  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-theme-toggle]")) window.nabdTheme.next();
  });

  // ------------------------------------------------------------------ map
  const maps = {};
  const colour = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();
  const HOLLOW = new Set(["no_contact", "unknown"]);

  function look(condition) {
    const main = colour(`c-${condition.replace("_", "-")}`);
    const hollow = HOLLOW.has(condition);
    return {
      radius: condition === "fault" ? 8 : 6,
      color: hollow ? main : colour("marker-line"),
      weight: hollow ? 2 : 1.25,
      dashArray: condition === "no_contact" ? "3 3" : null,
      fillColor: hollow ? colour("surface") : main,
      fillOpacity: hollow ? 0.6 : 0.95,
    };
  }

  // The centroid of an outline: where its name stands best.
  function middle(outline) {
    let area = 0, lat = 0, lon = 0;
    outline.forEach(([a, b], index) => {
      const [c, d] = outline[(index + 1) % outline.length];
      const cross = a * d - c * b;
      area += cross; lat += (a + c) * cross; lon += (b + d) * cross;
    });
    return area ? [lat / (3 * area), lon / (3 * area)] : outline[0];
  }

  class CityMap {
    constructor(map, given) {
      this.map = map;
      this.words = given.words;
      this.markers = new Map();
      this.hidden = new Set();
      this.path = given.path;
      this.kinds = given.kinds;
      [map.zoomControl?._zoomInButton, map.zoomControl?._zoomOutButton].forEach((button, index) => {
        if (!button) return;
        button.title = given.zoom[index];
        button.setAttribute("aria-label", given.zoom[index]);
      });
      map.createPane("outlines").style.zIndex = 350; // under the circles
      map.createPane("names").style.zIndex = 410; // above them
      const svg = L.svg({ pane: "outlines" });
      for (const zone of given.zones) {
        L.polygon(zone.outline, { pane: "outlines", renderer: svg, className: "map-zone", interactive: false }).addTo(map);
        L.marker(middle(zone.outline), {
          pane: "names", interactive: false, keyboard: false,
          icon: L.divIcon({ className: "map-zone-name", html: `<span dir="auto"></span>`, iconSize: [160, 20] }),
        }).addTo(map).getElement().querySelector("span").textContent = zone.name;
      }
      for (const street of given.streets) {
        L.polyline(street.line, { pane: "outlines", renderer: svg, className: "map-street", interactive: false }).addTo(map);
      }
      this.canvas = L.canvas({ padding: 0.3 });
      this.layer = L.layerGroup().addTo(map);
      this.redraw(given.markers);
      this.fit(given.bounds);
    }

    fit(bounds) {
      this.map.invalidateSize(false);
      if (bounds) this.map.fitBounds(bounds, { padding: [28, 28], maxZoom: 17.5, animate: false });
    }

    redraw(markers) {
      this.layer.clearLayers();
      this.markers.clear();
      const pressing = (row) => Number(row[5] === "fault");
      for (const row of [...markers].sort((a, b) => pressing(a) - pressing(b))) this.add(...row);
    }

    add(asset, name, kind, lat, lon, condition) {
      const circle = L.circleMarker([lat, lon], { renderer: this.canvas, ...look(condition) });
      circle.nabd = { asset, name, kind, condition };
      circle.bindTooltip(() => this.tooltip(circle.nabd), { direction: "top", offset: [0, -6] });
      circle.on("click", () => { window.location.href = `${this.path}/assets/${encodeURIComponent(asset)}`; });
      this.markers.set(asset, circle);
      if (!this.hidden.has(kind)) circle.addTo(this.layer);
      if (condition === "fault") circle.bringToFront();
    }

    tooltip({ asset, name, kind, condition }) {
      const box = document.createElement("div");
      box.className = "map-tip";
      box.dir = root.dir;
      const title = document.createElement("bdi");
      title.textContent = name || asset;
      const words = document.createElement("span");
      words.textContent = `${this.kinds[kind] || kind} · ${this.words[condition]}`;
      box.append(title, words);
      return box;
    }

    change(changes) {
      for (const [asset, condition] of changes) {
        const circle = this.markers.get(asset);
        if (!circle) continue;
        circle.nabd.condition = condition;
        circle.setStyle(look(condition));
        circle.setRadius(look(condition).radius);
        if (condition === "fault" && !this.hidden.has(circle.nabd.kind)) circle.bringToFront();
      }
    }

    restyle() {
      for (const circle of this.markers.values()) circle.setStyle(look(circle.nabd.condition));
    }

    toggle(kind) {
      const hide = !this.hidden.has(kind);
      if (hide) this.hidden.add(kind); else this.hidden.delete(kind);
      for (const circle of this.markers.values()) {
        if (circle.nabd.kind !== kind) continue;
        if (hide) circle.removeFrom(this.layer); else circle.addTo(this.layer);
      }
      return !hide;
    }
  }

  window.nabdMap = {
    draw(id, map, given) {
      maps[id] = new CityMap(map, given);
      window.nabdMaps = maps;
    },
    redraw: (id, markers) => maps[id]?.redraw(markers),
    change: (id, changes) => maps[id]?.change(changes),
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-map-kind]");
    if (!button) return;
    for (const map of Object.values(maps)) button.setAttribute("aria-pressed", map.toggle(button.dataset.mapKind));
  });
})();
