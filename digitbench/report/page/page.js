"use strict";
(() => {
  const root = document.documentElement;
  const data = JSON.parse(document.getElementById("data").textContent);
  const drawn = new Set();

  // --- light and dark ---

  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  let printing = false;
  const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : prefersDark.matches);
  const toggle = document.getElementById("theme");
  toggle.hidden = false;
  const nameToggle = () => { toggle.textContent = isDark() ? "Light" : "Dark"; };
  nameToggle();
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameToggle();
    redraw();
  });
  prefersDark.addEventListener("change", () => { nameToggle(); redraw(); });

  // --- plots ---

  const recoloured = (value) => {
    if (typeof value === "string") return Object.hasOwn(data.onDark, value) ? data.onDark[value] : value;
    if (Array.isArray(value)) return value.map(recoloured);
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, recoloured(item)]));
  };

  // Where there is less room, charts that stand side by side are put below each other and become narrower: letters keep
  // their size. A chart of three parts (names, marks, values) keeps them in their lines.
  const phone = matchMedia("(max-width: 600px)");
  const narrower = (part, share, { columns, lower } = {}) => {
    if (Array.isArray(part)) return part.map((item) => narrower(item, share, { columns, lower }));
    if (part === null || typeof part !== "object") return part;
    const changed = Object.fromEntries(Object.entries(part).map(([key, item]) => [
      key, ["data", "datasets", "encoding", "mark"].includes(key) ? item : narrower(item, share, { columns, lower }),
    ]));
    if (typeof part.width === "number") changed.width = part.width * share;
    if (typeof part.height === "number" && lower) changed.height = part.height * lower;
    if (part.columns && columns) changed.columns = columns;
    return changed;
  };
  const fitted = (spec) => {
    if (!printing && !phone.matches) return spec;
    const { hconcat, ...rest } = spec;
    if (!hconcat) return printing ? narrower(spec, 0.6, { lower: 0.7 }) : narrower(spec, 0.9, { columns: 1 });
    if (hconcat.length === 3) return narrower(spec, printing ? 0.35 : 0.28);
    const { vconcat: panels, ...shared } = hconcat[0];
    if (printing && !panels) return narrower(spec, 0.65, { lower: 0.7 });
    const first = printing ? { ...shared, hconcat: panels } : hconcat[0];
    return { ...rest, vconcat: [narrower(first, printing ? 0.4 : 0.63), narrower(hconcat[1], panels ? 1 : 0.63)] };
  };

  const elementOf = (plot) => document.getElementById("plot-" + plot.name);
  const draw = (plot) => {
    drawn.add(plot.name);
    // Expressions are interpreted, since the page's policy forbids to make code of text.
    const spec = fitted(plot.spec);
    vegaEmbed(elementOf(plot), isDark() ? recoloured(spec) : spec, {
      ast: true, actions: false, defaultStyle: false, renderer: "svg", logLevel: 1, // errors
      tooltip: { theme: isDark() ? "dark" : "light" },
    });
  };
  const shown = (plot) => !elementOf(plot).closest("[hidden]");
  const redraw = () => data.plots.filter((plot) => drawn.has(plot.name) && shown(plot)).forEach(draw);
  phone.addEventListener("change", redraw);

  // Those out of sight wait, since a page may hold dozens.
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const plot = data.plots.find((candidate) => elementOf(candidate) === entry.target);
      if (entry.isIntersecting && !drawn.has(plot.name)) draw(plot);
    }
  }, { rootMargin: "600px" });
  data.plots.forEach((plot) => watcher.observe(elementOf(plot)));

  const forPrint = (on) => {
    printing = on;
    data.plots.filter(shown).forEach(draw);
    document.querySelectorAll("details").forEach((details) => {
      if (on) {
        details.dataset.was = details.open ? "open" : "";
        details.open = true;
      } else {
        details.open = details.dataset.was === "open";
      }
    });
  };
  addEventListener("beforeprint", () => forPrint(true));
  addEventListener("afterprint", () => forPrint(false));

  // --- one group at a time ---

  const group = document.getElementById("group");
  if (group) {
    group.closest("p").hidden = false;
    const choose = () => {
      document.querySelectorAll("[data-group]").forEach((element) => {
        element.hidden = element.dataset.group !== group.value;
      });
    };
    group.addEventListener("change", choose);
    choose();
  }

  // --- the table ---

  const table = document.getElementById("full");
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  const numeric = heads.map((head) => !head.classList.contains("text"));

  const sort = (column) => {
    const head = heads[column];
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((cell) => cell.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const keyed = rows.map((row) => [row.cells[column].dataset.key, row]);
    keyed.sort(([first], [second]) => {
      if (first === undefined || second === undefined) return (first === undefined) - (second === undefined);
      const order = numeric[column] ? Number(first) - Number(second) : first.localeCompare(second);
      return up ? order : -order;
    });
    keyed.forEach(([, row]) => body.append(row));
  };
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    button.disabled = false;
    button.addEventListener("click", () => sort(column));
  });

  const form = document.getElementById("filters");
  const find = document.getElementById("find");
  const count = document.getElementById("count");
  const choices = [...form.querySelectorAll("select")];
  const verdictColumn = heads.findIndex((head) => head.textContent.trim() === "verdict");
  const filter = () => {
    const searched = find.value.trim().toLowerCase().split(/\s+/);
    let left = 0;
    for (const row of rows) {
      // "dominated by onnx int8" is no row of onnx: verdicts have a choice of their own.
      const cells = [...row.cells].filter((_, index) => index !== verdictColumn);
      const text = cells.map((cell) => cell.textContent).join(" ").toLowerCase();
      const fits = searched.every((word) => text.includes(word)) && choices.every((choice) => choice.value === ""
        || row.getAttribute("data-" + choice.dataset.filter.replace(" ", "-")) === choice.value);
      row.hidden = !fits;
      left += fits;
    }
    count.textContent = `${left} of ${rows.length} rows`;
  };
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  filter();
})();
