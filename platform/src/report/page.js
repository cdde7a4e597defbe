// Colours by hand, and the values under the pointer; without it the page shows all the same.
(() => {
  const root = document.documentElement;
  const button = document.querySelector("#theme");
  const modes = [
    ["", "◐", "as the system has them"],
    ["light", "☀", "light"],
    ["dark", "☾", "dark"],
  ];
  let mode = 0;
  button.addEventListener("click", () => {
    mode = (mode + 1) % modes.length;
    const [theme, sign, name] = modes[mode];
    theme ? root.setAttribute("data-theme", theme) : root.removeAttribute("data-theme");
    button.textContent = sign;
    button.setAttribute("aria-label", `Colours: ${name}`);
  });

  const told = document.querySelector("#told");
  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  for (const plot of document.querySelectorAll(".plot")) {
    const data = JSON.parse(plot.parentElement.querySelector("script").textContent);
    const last = Math.round((data.end - data.start) / data.step);
    const cross = element("div", { className: "cross", hidden: true });
    plot.append(cross);
    let at = last;
    const hide = () => { cross.hidden = told.hidden = true; };
    const show = (index) => {
      at = Math.min(Math.max(index, 0), last);
      const rows = data.series
        .filter(([, , values]) => values[at] != null)
        .map(([name, color, values]) =>
          element("p", {}, element("span", {}, element("i", { className: color }), name), element("b", {}, values[at])));
      const along = data.start + at * data.step;
      const time = {
        utc: () => `${new Date(along * 1000).toISOString().slice(11, 19)} UTC`,
        fromstart: () => `${along} s`,
        quantile: () => `${((1 - 10 ** -along) * 100).toFixed(Math.max(1, Math.ceil(along - 1)))} %`,
      }[data.clock]();
      told.replaceChildren(element("p", {}, element("b", {}, time)), ...rows.slice(0, 16));
      cross.hidden = told.hidden = false;
      const box = plot.getBoundingClientRect();
      const x = (at * data.step) / (data.end - data.start) * box.width;
      cross.style.left = `${x}px`;
      const left = box.left + x + 14 + told.offsetWidth > innerWidth ? box.left + x - 14 - told.offsetWidth : box.left + x + 14;
      told.style.left = `${Math.max(left, 4)}px`;
      told.style.top = `${Math.max(Math.min(box.top, innerHeight - told.offsetHeight - 8), 4)}px`;
    };
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      show(Math.round(((event.clientX - box.left) / box.width) * last));
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!by) return;
      event.preventDefault();
      show(cross.hidden ? at : at + by);
    });
  }
})();
