"use strict";
const { places, films } = JSON.parse(document.getElementById("film-data").textContent);
const time = document.getElementById("time"), label = document.getElementById("time-label");

function show() {
  const place = Number(time.value);
  label.textContent = places[place];
  time.setAttribute("aria-valuetext", places[place]);
  films.forEach(({ rows, frames }, i) => {
    const film = document.getElementById(`film-${i}`), frame = frames[rows[place]];
    film.style.setProperty("--row", rows[place]);
    film.style.setProperty("--share", frame.share);
    film.dataset.phase = frame.phase;
    film.querySelector(".phase").textContent = frame.phase;
    film.querySelectorAll(".value").forEach((value, j) => { value.textContent = frame.values[j]; });
    film.querySelectorAll(".pair").forEach((pair, j) => {
      pair.classList.toggle("memorized", frame.copies[j]);
      pair.querySelector(".ratio").textContent = frame.ratios[j];
    });
  });
}

time.addEventListener("input", show);
document.getElementById("timeline").hidden = false;
show();
