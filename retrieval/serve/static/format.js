// Numbers and times as the report writes them.

const whole = new Intl.NumberFormat("en");

/** 12345 -> "12,345" */
export const count = (value) => whole.format(value);

/** count(1, "work") -> "1 work"; count(2, "work") -> "2 works" */
export const counted = (value, singular, plural = `${singular}s`) => `${count(value)} ${value === 1 ? singular : plural}`;

/** A figure with two decimals, or a dash. */
export const figure = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));

/** A cosine with three decimals. */
export const cosine = (value) => value.toFixed(3);

/** A share as percent: 0.123 -> "12.3 %" */
export const percent = (value, digits = 1) =>
  value === null || value === undefined ? "–" : `${Number((100 * value).toFixed(digits))} %`;

/** A p-value: never 0, and never more digits than it has. */
export function pValue(value) {
  if (value === null || value === undefined) return "–";
  if (value < 0.0001) return "< 0.0001";
  return value < 0.1 ? value.toPrecision(2) : value.toFixed(2);
}

/** A time in UTC: "2026-11-29T04:09:50+00:00" -> "2026-11-29 04:09 UTC" */
export const time = (text) => (text ? `${text.slice(0, 10)} ${text.slice(11, 16)} UTC` : "–");

/** The last parts of a path. */
export const shortPath = (path, parts = 2) => path.split("/").slice(-parts).join("/");

/** The first digits of a digest. */
export const shortDigest = (text) => text.slice(0, 12);
