/** A canvas that is sharp on every screen, and the colours to draw with. */

export interface Frame {
  paint: CanvasRenderingContext2D;
  /** In CSS pixels, like everything drawn. */
  width: number;
  height: number;
}

/** Clear the canvas at the screen's own resolution; null while it is not shown. */
export function begin(canvas: HTMLCanvasElement): Frame | null {
  const width = canvas.clientWidth;
  const height = canvas.clientHeight;
  const paint = canvas.getContext("2d");
  if (!paint || width === 0 || height === 0) return null;
  const scale = window.devicePixelRatio || 1;
  const across = Math.round(width * scale);
  const down = Math.round(height * scale);
  if (canvas.width !== across) canvas.width = across;
  if (canvas.height !== down) canvas.height = down;
  paint.setTransform(scale, 0, 0, scale, 0, 0);
  paint.clearRect(0, 0, width, height);
  return { paint, width, height };
}

const COLOURS = {
  text: "--ink",
  dim: "--ink-dim",
  line: "--line",
  faint: "--line-faint",
  back: "--plot",
  caller: "--caller",
  agent: "--agent",
  overlap: "--overlap",
  listen: "--listen",
  late: "--late",
  lost: "--lost",
  barge: "--barge",
  cursor: "--cursor",
  good: "--good",
} as const;

export type Palette = Record<keyof typeof COLOURS, string> & { font: string };

let palette: Palette | null = null;

/** The theme's colours, read once per theme. */
export function colours(): Palette {
  if (palette === null) {
    const style = getComputedStyle(document.documentElement);
    const entries = Object.entries(COLOURS).map(([name, property]) => [name, style.getPropertyValue(property).trim()]);
    palette = { ...Object.fromEntries(entries), font: getComputedStyle(document.body).fontFamily } as Palette;
  }
  return palette;
}

/** Call `redraw` when the theme changes, by the system or by the page's own switch. */
export function onThemeChange(redraw: () => void): void {
  const changed = (): void => {
    palette = null;
    redraw();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  new MutationObserver(changed).observe(document.documentElement, { attributes: true });
}

/** Slanted lines inside a rectangle: a pattern that needs no colour to be seen. */
export function hatch(paint: CanvasRenderingContext2D, x: number, y: number, width: number, height: number, pitch = 4): void {
  paint.save();
  paint.beginPath();
  paint.rect(x, y, width, height);
  paint.clip();
  paint.beginPath();
  // Anchored to the canvas, not to the rectangle: the lines of neighbours meet.
  const first = Math.floor((x - height) / pitch) * pitch;
  for (let offset = first; offset < x + width + height; offset += pitch) {
    paint.moveTo(offset, y + height);
    paint.lineTo(offset + height, y);
  }
  paint.stroke();
  paint.restore();
}
