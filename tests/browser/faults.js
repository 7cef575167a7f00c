// What is wrong with a page for those who see badly, use keys only, or have a small screen.
() => {
  const faults = [];
  const visible = (one) => one.checkVisibility({ checkVisibilityCSS: true });
  const parse = (text) => {
    const found = text.match(/[\d.]+/g).map(Number);
    return { rgb: found.slice(0, 3), alpha: found.length > 3 ? found[3] : 1 };
  };
  const ground = (one) => {
    for (let here = one; here; here = here.parentElement) {
      const { rgb, alpha } = parse(getComputedStyle(here).backgroundColor);
      if (alpha === 1) { return rgb; }
    }
    return [255, 255, 255];
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((one) => {
      const part = one / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    if (!texts.currentNode.nodeValue.trim() || !visible(one) || one.closest(".visually-hidden")) { continue; }
    const pair = [light(parse(getComputedStyle(one).color).rgb), light(ground(one))];
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    if (contrast < 4.5) { faults.push(`contrast ${contrast.toFixed(2)}: ${texts.currentNode.nodeValue.trim().slice(0, 40)}`); }
  }
  for (const one of document.querySelectorAll("a, button, summary, input:not([type=hidden]), select")) {
    const named = one.getAttribute("aria-label") || one.textContent.trim() || one.labels?.length;
    if (visible(one) && !named) { faults.push(`no name: ${one.outerHTML.slice(0, 80)}`); }
  }
  // A screen reader speaks each change of a live region: an age that counts must not be one.
  for (const one of document.querySelectorAll("[role=status], [role=alert], [aria-live=polite], [aria-live=assertive]")) {
    if (/\d+ s old/.test(one.textContent) && visible(one)) { faults.push(`speaks each second: ${one.id}`); }
  }
  for (const one of document.querySelectorAll("[id]")) {
    if (document.querySelectorAll(`[id="${CSS.escape(one.id)}"]`).length > 1) { faults.push(`twice: ${one.id}`); }
  }
  for (const one of document.querySelectorAll("table:not([role=presentation])")) {
    if (!(one.caption || one.getAttribute("aria-label")) || !one.querySelector("th[scope]")) { faults.push("a table without caption or headings"); }
  }
  for (const one of document.querySelectorAll("svg")) {
    if (!one.getAttribute("aria-label") && !one.getAttribute("aria-hidden")) { faults.push("a picture without a name"); }
  }
  if (document.querySelectorAll("h1").length !== 1) { faults.push("not one h1"); }
  if (!document.documentElement.lang || !document.title) { faults.push("no language or title"); }
  const wide = document.scrollingElement.scrollWidth - innerWidth;
  if (wide > 0) { faults.push(`${wide} px too wide`); }
  return faults;
}
