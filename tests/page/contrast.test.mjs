// Every text's colour against every ground it stands on, computed from the style sheet.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AUTHOR_COLOURS } from '../../assets/js/text.js';

const css = readFileSync(new URL('../../assets/css/palette.css', import.meta.url), 'utf8');
const [light, dark] = css.split('@media (prefers-color-scheme: dark)')
  .map((part) => Object.fromEntries([...part.matchAll(/--([\w-]+): #([0-9a-f]{6});/g)].map(([, name, hex]) => [name, rgb(hex)])));

function rgb(hex) {
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// WCAG 2.2, relative luminance and contrast ratio.
function luminance(colour) {
  const [r, g, b] = colour.map((value) => value / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
function contrast(a, b) {
  const [bright, dim] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (bright + 0.05) / (dim + 0.05);
}
const mix = (a, b, share) => a.map((value, index) => value * share + b[index] * (1 - share));

for (const [scheme, palette] of Object.entries({ light, dark })) {
  const holds = (text, ground, where, least = 4.5) => {
    const ratio = contrast(text, ground);
    assert.ok(ratio >= least, `${scheme}: ${where} has ${ratio.toFixed(2)}:1`);
  };

  test(`texts hold 4.5:1 in the ${scheme} scheme`, () => {
    const pairs = {
      ink: ['page', 'surface', 'hover'], muted: ['page', 'surface'], accent: ['surface', 'hover', 'page'],
      danger: ['page', 'surface', 'hover'], 'on-accent': ['accent'], 'own-ink': ['own'],
    };
    for (const [text, grounds] of Object.entries(pairs)) {
      for (const ground of grounds) holds(palette[text], palette[ground], `${text} on ${ground}`);
    }
  });

  test(`authors' names and discs hold 4.5:1 in the ${scheme} scheme`, () => {
    for (let index = 0; index < AUTHOR_COLOURS; index += 1) {
      const colour = palette[`author-${index}`];
      holds(colour, palette.page, `author ${index}`);
      holds(colour, mix(colour, palette.page, 0.12), `author ${index} on the disc`);
    }
  });

  test(`the focus ring holds 3:1 in the ${scheme} scheme`, () => {
    for (const ground of ['page', 'surface']) holds(palette.focus, palette[ground], `focus on ${ground}`, 3);
  });
}

test('every author colour has its rule', () => {
  for (let index = 0; index < AUTHOR_COLOURS; index += 1) assert.ok(css.includes(`[data-author="${index}"]`));
});
