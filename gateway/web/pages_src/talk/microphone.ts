/** The caller's microphone. */

import { Problem, type ProblemKind } from "./problems";

/** Whether this page could have a microphone at all, before anyone is asked for it. */
export function obstacle(): Problem | null {
  if (!window.isSecureContext) return new Problem("insecure");
  if (!("mediaDevices" in navigator) || !("RTCPeerConnection" in window)) return new Problem("unsupported");
  return null;
}

/** Raises a Problem. The browser may ask the user, so this can take minutes. */
export async function openMicrophone(): Promise<MediaStream> {
  const inTheWay = obstacle();
  if (inTheWay) throw inTheWay;
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
  } catch (error) {
    throw microphoneProblem(error);
  }
}

/** Browsers name their reasons alike (Media Capture and Streams §10.2), and word them differently. */
export function microphoneProblem(error: unknown): Problem {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  const kinds: Record<string, ProblemKind> = {
    NotAllowedError: "microphone_refused",
    SecurityError: "microphone_refused",
    NotFoundError: "microphone_missing",
    OverconstrainedError: "microphone_missing",
    NotReadableError: "microphone_in_use",
    AbortError: "microphone_in_use",
  };
  return new Problem(kinds[name] ?? "microphone_failed", error instanceof Error ? `${name}: ${error.message}` : "");
}
