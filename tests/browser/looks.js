// What is wrong with how the page looks, as sentences. Playwright calls it in the page.
() => {
  const wrong = [];
  const root = document.documentElement;

  const shown = (element) => element.checkVisibility({ contentVisibilityAuto: true, opacityProperty: true, visibilityProperty: true });
  const named = (element) => {
    const text = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 50);
    const classes = [...element.classList].map((name) => `.${name}`).join("");
    return `<${element.tagName.toLowerCase()}${element.id ? `#${element.id}` : ""}${classes}> “${text}”`;
  };
  const all = [...document.body.querySelectorAll("*")].filter((element) => !(element instanceof SVGElement) && shown(element));
  const rectangle = (element) => element.getBoundingClientRect();
  // For readers only (a hidden label, the skip link): out of sight on purpose.
  const unseen = (element) => element.closest(".seen-by-readers, .skip, .sprite, thead") !== null
    && (rectangle(element).width <= 1 || rectangle(element).bottom <= 0 || getComputedStyle(element.closest(".seen-by-readers, .skip, .sprite, thead")).clipPath !== "none");

  // Nothing scrolls sideways: not the page, and no box in it.
  if (root.scrollWidth > root.clientWidth) {
    wrong.push(`the page is ${root.scrollWidth} px wide in a window of ${root.clientWidth} px`);
  }
  for (const element of all) {
    if (unseen(element)) continue;
    const box = rectangle(element);
    const style = getComputedStyle(element);
    if (box.right > root.clientWidth + 1 && box.width > 1) wrong.push(`${named(element)} ends at ${Math.round(box.right)} px`);
    if (box.left < -1 && box.width > 1) wrong.push(`${named(element)} begins at ${Math.round(box.left)} px`);

    const field = element.matches("input, textarea, select");  // what is longer than a field can be reached in it
    const tooWide = element.scrollWidth > element.clientWidth + 1;
    const tooHigh = element.scrollHeight > element.clientHeight + 1;
    if (field || style.display === "inline" || !element.textContent.trim()) continue;
    if (tooWide && ["auto", "scroll"].includes(style.overflowX)) wrong.push(`${named(element)} scrolls sideways`);
    // An ellipsis says that something was cut; the whole text is then in its title or on the page it leads to.
    const cutsX = tooWide && ["hidden", "clip"].includes(style.overflowX) && style.textOverflow !== "ellipsis";
    const cutsY = tooHigh && ["hidden", "clip"].includes(style.overflowY);
    if (cutsX || cutsY) wrong.push(`${named(element)} is cut: ${element.scrollWidth}×${element.scrollHeight} px in ${element.clientWidth}×${element.clientHeight} px`);
  }

  // No text runs out of the field or button that holds it.
  for (const element of all) {
    if (!element.matches("button, .pill, select, summary") || unseen(element)) continue;
    if (element.scrollWidth > element.clientWidth + 2 && element.clientWidth > 0) wrong.push(`the text of ${named(element)} is wider than it`);
  }
  return wrong;
}
