// sharp, kept waiting: the same requests and answers as peer.py. Its packages are in the folder it is started in.

import { createRequire } from 'node:module';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';

const sharp = createRequire(`${process.cwd()}/`)('sharp');
sharp.concurrency(1);
sharp.cache(false);

function memory(field) {
  const line = readFileSync('/proc/self/status', 'utf8').split('\n').find((line) => line.startsWith(field));
  return Number(line.split(/\s+/)[1]) * 1024;
}

function run(data, { width, height, fit, format, quality }, animated) {
  const shown = sharp(data, { animated, limitInputPixels: false }).autoOrient().resize(width, height, { fit });
  const how = { gif: {}, png: { compressionLevel: 1 } }[format] ?? { quality };
  return shown.toFormat(format, how).toBuffer();
}

let data;
console.log('{}');
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  const answer = {};
  try {
    if (request.load) {
      data = readFileSync(request.load);
    } else {
      let start = 0;
      if (request.memory) {
        writeFileSync('/proc/self/clear_refs', '5');
        start = memory('VmRSS');
      }
      let made;
      for (let i = 0; i < request.runs; i += 1) made = await run(data, request.options, request.animated);
      answer.bytes = made.length;
      if (request.memory) answer.peak = memory('VmHWM') - start;
      if (request.out) writeFileSync(request.out, made);
    }
  } catch (error) {
    answer.error = String(error.message);
  }
  console.log(JSON.stringify(answer));
}
