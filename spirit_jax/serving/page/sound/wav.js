const HEADER_BYTES = 44;
const FULL_SCALE = 32767;

/** Float samples from -1 to 1 as 16-bit integers; louder ones are clipped. */
export function toInt16(samples) {
  return Int16Array.from(samples, (x) => Math.round(Math.max(-1, Math.min(1, x)) * FULL_SCALE));
}

/** 16-bit integers as float samples, for Web Audio. */
export function toFloat(samples) {
  return Float32Array.from(samples, (x) => x / FULL_SCALE);
}

/** A mono wav file of 16-bit samples. pieces: Int16Arrays in order. rate: samples a second. */
export function encodeWav(pieces, rate) {
  const bytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  const letters = (at, text) => [...text].forEach((c, i) => header.setUint8(at + i, c.charCodeAt(0)));
  letters(0, "RIFF");
  header.setUint32(4, HEADER_BYTES - 8 + bytes, true);
  letters(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // bytes of this chunk
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, rate, true);
  header.setUint32(28, 2 * rate, true); // bytes a second
  header.setUint16(32, 2, true); // bytes a frame
  header.setUint16(34, 16, true); // bits a sample
  letters(36, "data");
  header.setUint32(40, bytes, true);
  return new Blob([header, ...pieces], { type: "audio/wav" });
}

/** 16-bit samples, little-endian as all browsers store them, from base64. */
export function decodePcm(base64) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return new Int16Array(bytes.buffer);
}

/** A file's bytes as base64. */
export function toBase64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
