/** What can stand in the way of a call, in plain words, and what to do about it. */

export type ProblemKind =
  | "insecure"
  | "unsupported"
  | "microphone_refused"
  | "microphone_missing"
  | "microphone_in_use"
  | "microphone_failed"
  | "unreachable"
  | "not_offered"
  | "not_open"
  | "expired"
  | "refused"
  | "full"
  | "no_path"
  | "lost";

/** Why there is no call. `detail` is for whoever looks after the gateway. */
export class Problem extends Error {
  readonly kind: ProblemKind;
  readonly detail: string;
  readonly retryAfterS: number | null;

  constructor(kind: ProblemKind, detail = "", retryAfterS: number | null = null) {
    super(detail || kind);
    this.kind = kind;
    this.detail = detail;
    this.retryAfterS = retryAfterS;
  }
}

export interface Advice {
  title: string;
  steps: string[];
}

/** `origin` is the page's own, for the addresses in the advice. */
export function adviceOf(problem: Problem, origin: string): Advice {
  switch (problem.kind) {
    case "insecure":
      return {
        title: "Browsers give the microphone to secure pages only",
        steps: [
          `Open this page under ${origin.replace(/^http:/, "https:")}.`,
          "On the machine that runs the gateway, http://localhost works as well.",
        ],
      };
    case "unsupported":
      return {
        title: "This browser cannot make calls",
        steps: ["Use a current Chrome, Edge, Firefox or Safari.", "Inside another app, open the page in the browser itself."],
      };
    case "microphone_refused":
      return {
        title: "The microphone is not allowed",
        steps: [
          "Click the sign to the left of the page's address and allow the microphone.",
          "If it is allowed there: allow it for the browser in the privacy settings of the system.",
          "Then press Talk again.",
        ],
      };
    case "microphone_missing":
      return {
        title: "No microphone was found",
        steps: ["Plug one in, or connect your headset.", "If there is one: switch it on in the sound settings of the system.", "Then press Talk again."],
      };
    case "microphone_in_use":
      return {
        title: "The microphone is in use",
        steps: ["Another program or tab holds it: end its call, or close it.", "Then press Talk again."],
      };
    case "microphone_failed":
      return { title: "The microphone did not start", steps: ["Choose another one in the settings of the browser.", "Then press Talk again."] };
    case "unreachable":
      return { title: "The gateway does not answer", steps: ["Check your connection.", "Then press Talk again."] };
    case "not_offered":
      return { title: "This gateway takes no calls from browsers", steps: ["Whoever runs it can switch them on: the webrtc section of its configuration."] };
    case "not_open":
      return {
        title: "This line is not open to everyone",
        steps: ["Call from the page of the business whose line it is."],
      };
    case "expired":
      return { title: "The permission to call has run out", steps: ["Press Talk again: it asks for a new one.", "If that does not help, check the clock of the gateway."] };
    case "full":
      return {
        title: "All lines are busy",
        steps: [problem.retryAfterS ? `Try again in about ${problem.retryAfterS} seconds.` : "Try again in a moment."],
      };
    case "refused":
      return { title: "The gateway refused the call", steps: ["Load the page again.", "If that does not help, tell whoever runs the gateway what stands below."] };
    case "no_path":
      return {
        title: "No way through the network",
        steps: ["A firewall or VPN keeps the sound from passing. Try another network, a phone's for instance.", "Whoever runs the gateway can add a TURN server."],
      };
    case "lost":
      return { title: "The connection was lost", steps: ["Check your connection.", "Then press Talk again; it will be a new call."] };
  }
}
