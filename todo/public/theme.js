// Runs before the page is painted, so that it is never light first and dark afterwards.
const dark = matchMedia('(prefers-color-scheme: dark)');

function follow() {
  document.documentElement.dataset.bsTheme = dark.matches ? 'dark' : 'light';
}

dark.addEventListener('change', follow);
follow();
