/** How the line was: estimated MOS, loss, jitter and round trip over the call, each as a small plot with its last value. */

import { fill, h } from "../shared/dom";
import type { QualityEvent } from "../shared/events";
import { mos, mosGrade, percent, span } from "../shared/format";
import type { Story } from "../shared/story";
import { begin, colours, onThemeChange } from "../shared/surface";

interface Measure {
  name: string;
  unit: string;
  of(quality: QualityEvent): number | null;
  show(value: number | null): string;
  /** The range of the plot's height; it grows when values leave it. */
  low: number;
  high: number;
  worst(values: number[]): number;
}

const highest = (values: number[]): number => Math.max(...values);
const MEASURES: Measure[] = [
  { name: "MOS estimate", unit: "of 4.5", of: (q) => q.mos, show: mos, low: 1, high: 4.5, worst: (values) => Math.min(...values) },
  { name: "Loss", unit: "", of: (q) => q.loss, show: (value) => percent(value), low: 0, high: 0.03, worst: highest },
  { name: "Jitter", unit: "", of: (q) => q.jitter_s, show: span, low: 0, high: 0.03, worst: highest },
  { name: "Round trip", unit: "", of: (q) => q.round_trip_s, show: span, low: 0, high: 0.2, worst: highest },
];

export class QualityPanel {
  readonly element: HTMLElement;
  private readonly body = h("div", { class: "measures" });
  private readonly story: Story;

  constructor(story: Story) {
    this.story = story;
    this.element = h(
      "section",
      { class: "panel", "aria-labelledby": "quality-title" },
      h("header", { class: "panel-head" }, h("h2", { id: "quality-title" }, "Line quality")),
      this.body,
    );
    onThemeChange(() => this.draw());
  }

  draw(): void {
    if (!this.element.isConnected) return;
    const all = [...this.story.qualities.values()].sort((a, b) => a.at_s - b.at_s);
    if (all.length === 0) {
      fill(this.body, h("p", { class: "empty" }, "Nothing measured. Some doors, such as Twilio's, do not tell."));
      return;
    }
    const canvases = MEASURES.map((measure) => {
      const values = all.map((quality) => measure.of(quality)).filter((value) => value !== null);
      const last = values[values.length - 1] ?? null;
      const worst = values.length > 0 ? measure.show(measure.worst(values)) : "–";
      const canvas = h("canvas", { class: "spark", role: "img", "aria-label": `${measure.name} over the call, now ${measure.show(last)}, worst ${worst}` });
      return { measure, canvas, last, worst };
    });
    fill(
      this.body,
      ...canvases.map(({ measure, canvas, last, worst }) =>
        h(
          "div",
          { class: "measure" },
          h("span", { class: "measure-name" }, measure.name),
          h(
            "span",
            { class: "measure-value" },
            measure.show(last),
            measure.unit && h("small", {}, ` ${measure.unit}`),
            measure.of === MEASURES[0]?.of && last !== null && h("span", { class: `grade grade-${mosGrade(last)}` }, mosGrade(last)),
          ),
          canvas,
          h("span", { class: "measure-worst" }, `worst ${worst}`),
        ),
      ),
    );
    for (const { measure, canvas } of canvases) drawSpark(canvas, measure, all, this.story.endS);
  }
}

function drawSpark(canvas: HTMLCanvasElement, measure: Measure, all: QualityEvent[], endS: number): void {
  const frame = begin(canvas);
  if (!frame) return;
  const { paint, width, height } = frame;
  const palette = colours();
  const high = Math.max(measure.high, ...all.map((quality) => measure.of(quality) ?? 0));
  paint.fillStyle = palette.faint;
  paint.fillRect(0, height - 1, width, 1);
  paint.strokeStyle = palette.caller;
  paint.lineWidth = 1.5;
  paint.lineJoin = "round";
  paint.beginPath();
  let drawing = false;
  for (const quality of all) {
    const value = measure.of(quality);
    if (value === null) {
      drawing = false;
      continue;
    }
    const x = (quality.at_s / Math.max(endS, 5)) * width;
    const y = height - 2 - ((value - measure.low) / (high - measure.low)) * (height - 4);
    if (drawing) paint.lineTo(x, y);
    else paint.moveTo(x, y);
    drawing = true;
  }
  paint.stroke();
}
