// What the page does besides charts and film strips: its contents, its theme, its films.
"use strict";
function listContents() {
  for (const section of document.querySelectorAll("main section")) {
    const link = document.createElement("a");
    link.href = `#${section.id}`;
    link.textContent = section.querySelector("h2").textContent;
    document.getElementById("contents").append(link);
  }
}

// auto -> light -> dark, remembered where the browser lets a file remember.
function offerThemes() {
  const names = ["auto", "light", "dark"], signs = { auto: "◐", light: "☀", dark: "☾" };
  const button = document.getElementById("theme");
  let theme = "auto";
  try { theme = localStorage.getItem("rlrobo-theme") || "auto"; } catch { /* not remembered */ }
  const apply = () => {
    document.documentElement.dataset.theme = theme;
    button.textContent = signs[theme];
    button.title = `theme: ${theme}`;
  };
  button.onclick = () => {
    theme = names[(names.indexOf(theme) + 1) % names.length];
    try { localStorage.setItem("rlrobo-theme", theme); } catch { /* not remembered */ }
    apply();
  };
  apply();
}

function offerFilms() {
  const menu = document.getElementById("film"), player = document.getElementById("player");
  if (!menu) return;
  menu.onchange = () => {
    const source = document.getElementById(`film-${menu.value}`).textContent;
    const film = document.createElement(source.startsWith("data:video") ? "video" : "img");
    Object.assign(film, { controls: true, muted: true, loop: true, playsInline: true, preload: "metadata", src: source });
    player.replaceChildren(film);
  };
  menu.onchange();
}

listContents();
offerThemes();
charts.start();
episodes.start();
offerFilms();
