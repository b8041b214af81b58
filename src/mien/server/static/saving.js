// Files for the person: the annotated picture as PNG, the numbers as CSV with the columns of `mien image --format csv`.

import { draw } from "./drawing.js";

const FIELDS = ["source", "frame", "time", "track", "x1", "y1", "x2", "y2", "detection_score", "emotion", "confidence", "uncertain", "quality_score", "quality_issues"];

export async function savePicture(image, faces, name) {
  const canvas = document.createElement("canvas");
  draw(canvas, image, faces, { width: image.width, height: image.height });
  save(await new Promise((done) => canvas.toBlob(done, "image/png")), `${name}-mien.png`);
}

/** One row per face; a picture without a face is a row without face values. */
export function saveTable(results, labels, name) {
  const columns = [...FIELDS, ...labels, "error"];
  const rows = results.flatMap(({ source, frame = null, time = null, faces, error }) =>
    faces.length ? faces.map((face) => ({ ...face, source, error, quality_issues: face.quality_issues.join(";") })) : [{ source, frame, time, error }]);
  const lines = [columns, ...rows.map((row) => columns.map((column) => row[column]))];
  const text = lines.map((cells) => cells.map(cell).join(",") + "\n").join("");
  save(new Blob([text], { type: "text/csv" }), `${name}-mien.csv`);
}

function cell(value) {
  const text = typeof value === "boolean" ? String(value).toUpperCase() : String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
