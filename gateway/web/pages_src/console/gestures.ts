/** Wheel, drag, pinch and keys that move the timeline. */

import type { Axis } from "../shared/axis";
import { scaleOf } from "../shared/waveform";

const ZOOM_STEP = 1.4;

/** A press that moves less is a click. */
const CLICK_PX = 4;

/** Listen on `area`, whose whole width is the timeline with its gutter. `click` gets the time under the pointer. */
export function listenForGestures(area: HTMLElement, axis: Axis, click: (atS: number) => void): void {
  const scale = () => scaleOf(axis, area.clientWidth);
  const xOf = (event: MouseEvent) => event.clientX - area.getBoundingClientRect().left;

  area.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const across = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (Math.abs(across) > Math.abs(event.shiftKey ? 0 : event.deltaY)) axis.pan(across / scale().pxPerS);
      // A pinch on a touchpad arrives as a wheel with the control key and small steps.
      else axis.zoom(Math.exp(clamp(event.deltaY, 120) * (event.ctrlKey ? 0.01 : 0.0022)), scale().atS(xOf(event)));
    },
    { passive: false },
  );

  const fingers = new Map<number, number>();
  let pressedX = 0;
  let moved = false;
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    area.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, xOf(event));
    pressedX = xOf(event);
    moved = fingers.size > 1;
  });
  area.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (before === undefined) return;
    const x = xOf(event);
    if (Math.abs(x - pressedX) > CLICK_PX) moved = true;
    if (!moved) return;
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (other !== undefined) {
      const factor = Math.max(8, Math.abs(before - other)) / Math.max(8, Math.abs(x - other));
      axis.zoom(factor, scale().atS(other));
    } else axis.pan((before - x) / scale().pxPerS);
    fingers.set(event.pointerId, x);
  });
  const release = (event: PointerEvent): void => {
    if (fingers.delete(event.pointerId) && !moved && event.type === "pointerup") click(scale().atS(xOf(event)));
  };
  area.addEventListener("pointerup", release);
  area.addEventListener("pointercancel", release);
}

/** Move the timeline by a key; true when the key was one of the timeline's. */
export function moveByKey(axis: Axis, key: string): boolean {
  const middleS = axis.cursorS ?? axis.startS + axis.spanS / 2;
  switch (key) {
    case "ArrowLeft":
      axis.pan(-axis.spanS / 8);
      return true;
    case "ArrowRight":
      axis.pan(axis.spanS / 8);
      return true;
    case "+":
    case "=":
      axis.zoom(1 / ZOOM_STEP, middleS);
      return true;
    case "-":
    case "−":
      axis.zoom(ZOOM_STEP, middleS);
      return true;
    case "0":
      axis.showAll();
      return true;
    case "Home":
      axis.pan(-axis.endS);
      return true;
    case "End":
      axis.pan(axis.endS);
      return true;
    case "Escape":
      axis.clearCursor();
      return true;
    default:
      return false;
  }
}

function clamp(value: number, bound: number): number {
  return Math.max(-bound, Math.min(bound, value));
}
