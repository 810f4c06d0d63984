// Keeps the page above a phone's keyboard where the browser does not (iOS lays it over the page).

export function mountViewport() {
  const viewport = window.visualViewport;
  if (!viewport) return;

  function fit() {
    const covered = window.innerHeight - viewport.height * viewport.scale;
    // Zooming in is the reader's business and changes nothing here; small differences are browser bars.
    const height = viewport.scale === 1 && covered > 80 ? `${Math.round(viewport.height)}px` : '';
    document.documentElement.style.setProperty('--visible', height);
    if (height !== '') window.scrollTo(0, 0);
  }

  viewport.addEventListener('resize', fit);
}
