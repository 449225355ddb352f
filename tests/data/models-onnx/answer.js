// SPDX-License-Identifier: MIT
// What onnxruntime answers for the models of this folder, one thread, nothing rearranged.
// Usage: NODE_PATH=…/node_modules node answer.js FOLDER   (npm install --ignore-scripts onnxruntime-node)
const ort = require('onnxruntime-node');
const fs = require('fs');
const path = require('path');

const options = {
  intraOpNumThreads: 1, interOpNumThreads: 1, graphOptimizationLevel: 'disabled', logSeverityLevel: 3,
};

function cell(text) {
  return text === '' ? NaN : text === 'inf' ? Infinity : text === '-inf' ? -Infinity : Number(text);
}

function feeds(names, rows, isDouble) {
  const make = (values, width) => isDouble
    ? new ort.Tensor('float64', Float64Array.from(values), [rows.length, width])
    : new ort.Tensor('float32', Float32Array.from(values), [rows.length, width]);
  if (names.length === 1) {
    return {[names[0]]: make(rows.flat(), rows[0].length)};
  }
  return Object.fromEntries(names.map((name, i) => [name, make(rows.map((row) => row[i]), 1)]));
}

async function answer(folder, name) {
  const file = path.join(folder, name);
  const rows = fs.readFileSync(file + '.rows.tsv', 'utf8').replace(/\n$/, '').split('\n')
    .map((line) => line.split('\t').map(cell));
  const session = await ort.InferenceSession.create(file + '.onnx', options);
  const scores = session.outputNames[session.outputNames.length - 1];
  const output = (await session.run(feeds(session.inputNames, rows, name.endsWith('-double')), [scores]))[scores];
  const width = output.data.length / rows.length;
  const digits = output.type === 'float64' ? 17 : 9;
  const lines = rows.map((row, i) =>
    Array.from(output.data.slice(i * width, (i + 1) * width), (x) => x.toPrecision(digits)).join('\t') + '\n');
  fs.writeFileSync(file + '.expected.tsv', lines.join(''));
}

(async () => {
  const folder = process.argv[2];
  for (const file of fs.readdirSync(folder).filter((name) => name.endsWith('.onnx')).sort()) {
    try {
      await answer(folder, file.slice(0, -5));
    } catch (error) {
      console.error(`${file}: ${error}`);
    }
  }
})();
