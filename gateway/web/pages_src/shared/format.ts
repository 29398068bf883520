/** Numbers as an operator reads them. */

export const NONE = "–";

/** 83.4 → `1:23`, 3723 → `1:02:03`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const rest = pad(whole % 60);
  return hours > 0 ? `${hours}:${pad(minutes)}:${rest}` : `${minutes}:${rest}`;
}

/** A moment of the call with tenths: 83.4 → `1:23.4`. */
export function moment(seconds: number): string {
  const tenths = Math.max(0, Math.round(seconds * 10));
  return `${duration(Math.floor(tenths / 10))}.${tenths % 10}`;
}

/** A short span: 0.0114 → `11 ms`, 0.0042 → `4.2 ms`, 1.234 → `1.23 s`. */
export function span(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size < 0.00995) return `${trim(seconds * 1000, 1)} ms`;
  if (size < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (size < 99.5) return `${seconds.toFixed(size < 9.995 ? 2 : 1)} s`;
  return duration(seconds);
}

/** Milliseconds without the unit, for a column that names it. */
export function ms(seconds: number): string {
  return trim(seconds * 1000, Math.abs(seconds) < 0.00995 ? 1 : 0);
}

export function percent(share: number | null | undefined, digits = 1): string {
  return share === null || share === undefined ? NONE : `${trim(share * 100, digits)} %`;
}

export function mos(value: number | null | undefined): string {
  return value === null || value === undefined ? NONE : value.toFixed(1);
}

/** What listeners make of a MOS, after ITU-T G.107 Annex B (bounds 4.03 and 3.60), judged by the number as it is shown. */
export function mosGrade(value: number): "good" | "fair" | "poor" {
  const shown = Number(mos(value));
  if (shown >= 4) return "good";
  return shown >= 3.6 ? "fair" : "poor";
}

export function timeOfDay(unixS: number): string {
  return new Date(unixS * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
}

export function day(unixS: number): string {
  return new Date(unixS * 1000).toLocaleDateString([], { day: "numeric", month: "short" });
}

export function isToday(unixS: number): boolean {
  return new Date(unixS * 1000).toDateString() === new Date().toDateString();
}

/** `caller_hung_up` → `caller hung up`. */
export function plain(name: string): string {
  return name.replaceAll("_", " ");
}

export function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

export function doorName(door: string): string {
  return { sip: "SIP", twilio: "Twilio", webrtc: "Browser" }[door] ?? door;
}

export function plural(count: number, noun: string): string {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** The value below which `share` of the sorted `values` lie (nearest rank); null of none. */
export function quantile(values: number[], share: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? null;
}

function pad(number: number): string {
  return String(number).padStart(2, "0");
}

function trim(number: number, digits: number): string {
  const text = number.toFixed(digits).replace("-", "−");
  return digits > 0 ? text.replace(/\.?0+$/, "") : text;
}
