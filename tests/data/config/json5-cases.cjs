// Makes json5-cases.json: texts and what the reference parser makes of them.
// Use: npm install json5@2.2.3 --prefix DIR && node json5-cases.cjs DIR/node_modules/json5 > json5-cases.json
// A case without `value` is one that the reference parser refuses.
// With `COUNT SEED` behind, it makes so many random changes of those that it takes instead: put its output in the file's
// place for a while to try the reader with them.
const JSON5 = require(require("path").resolve(process.argv[2]));
const texts = [
  // the shapes of a configuration file
  `{}`,
  `// head\n{\n  // note\n  gateway: { mode: 'local', port: 18789, },\n}\n`,
  `{ "a": 1, 'b': 2, c: 3, $d: 4, _e: 5, f6: 6 }`,
  `\uFEFF{ a: 1 }`,
  `{ a: [1, 2, 3,], b: [], c: [[]], d: {}, }`,
  `{ a: null, b: true, c: false }`,
  `{a:1}/* tail */`,
  `{a:1}// tail`,
  `{/**/a/* x */:/* y */1/* z */,/* w */}`,
  `{ a: 1, a: 2 }`,
  `{ a: { b: 1 }, a: { c: 2 } }`,
  `{ null: 1, true: 2, if: 3, Infinity: 4, NaN: 5 }`,
  `{ "": 1, " ": 2, "a.b": 3, "a/b": 4 }`,
  `{ ünïcödé: 1, ไทย: 2, \\u0061b: 3, a\\u0062: 4 }`,
  // strings
  `{ a: 'it\\'s', b: "say \\"x\\"", c: 'say "x"', d: "it's" }`,
  `{ a: '\\b\\f\\n\\r\\t\\v\\0\\\\\\/\\x41\\u0041' }`,
  `{ a: 'one \\\ntwo', b: 'one \\\r\ntwo' }`,
  `{ a: '\\q\\'' }`,
  `{ a: '\\uD83D\\uDE00', b: '😀' }`,
  `{ a: '\u2028\u2029' }`,
  `{ a: 'tab\there' }`,
  `{ a: '// no comment', b: '/* none */', c: '{[,:]}' }`,
  `{ a: '\${NAME} $\${NAME}' }`,
  // numbers
  `{ a: 0, b: -0, c: +1, d: .5, e: 5., f: 1e3, g: 1E-3, h: 1.5e+3, i: -.5 }`,
  `{ a: 0x10, b: 0XfF, c: -0x1, d: +0x1 }`,
  `{ a: Infinity, b: -Infinity, c: +Infinity, d: NaN, e: -NaN }`,
  `{ a: 9007199254740993, b: 123456789012345678901234567890, c: 1e400, d: 0.1 }`,
  `{ a: 18789.0, b: 1e0 }`,
  // white space
  `\t\v\f \u00a0\u2003{\u2028a\u2029:\r1\r\n}`,
  // outside of objects
  `1`, `-1`, `'x'`, `null`, `true`, `[]`, `[[],[{}]]`, `/**/0/**/`, `// x\n0`, `\uFEFF\uFEFF0`,
  `//\r0`, `//\u20280`, `//\u2029[0]`, `/* * / ** */0`, `/***/0`, `/*/*/0`, `[0,/*,*/]`,
  `NaN`, `-Infinity`, `+.5`, `-5.e-1`, `5.E+1`, `0e0`, `0.e1`, `0e400`, `1e-400`, `0X0`, `-0x0`,
  // numbers of any length
  `[18446744073709551615, 18446744073709551616, -9223372036854775808, -9223372036854775809]`,
  `[0xFFFFFFFFFFFFFFFF, 0x10000000000000000, 0x20000000000001, 0x1000000000000080000000000000000000000000000001]`,
  `[1.7976931348623157e308, 1.7976931348623159e308, 5e-324, 2.4703282292062327e-324, 2.4703282292062328e-324]`,
  `[${"9".repeat(400)}, 0.${"0".repeat(400)}1, 1${"0".repeat(300)}e-300, 0x${"f".repeat(300)}]`,
  `[9007199254740993.0, 0.1e1, 100000000000000000000000, 1e21, 123456789.123456789]`,
  // keys
  `{ __proto__: 1, constructor: 2, toString: 3, hasOwnProperty: 4 }`,
  `{ __proto__: { a: 1 }, "__proto__": { b: 2 } }`,
  `{ a: 1, "a": 2, 'a': 3, \\u0061: 4, "\\x61": 5 }`,
  `{ a\u200c: 1, a\u200d: 2, a\\u200c: 3, a\u203f: 4, \u{1d4b3}: 5, น้ำ: 6, ⅷ: 7, \ufe70: 8, \u3005: 9 }`,
  `{ $: 1, _: 2, $$: 3, \\u0024_: 4, \\u005f: 5, a\\u0030: 6 }`,
  `{ true: true, null: null, undefined: 1, class: 2, 'class ': 3 }`,
  `{'a'\n:\n1\n,\n}`,
  // strings
  `['\\0', '\\0a', '\\v', '\\'', "\\"", "'", '"', '\\\u2028', '\\\u2029', '\\\n', '\\\r', '\\\r\n', '\\\\']`,
  `['\\a\\c\\d\\e\\g\\A\\ \\\t\\é\\😀\\\u00a0\\-']`,
  `['\\uD83D\\\n\\uDE00', '\\u0000\\xff\\xFF\\uFFff\\ufeff', '\\uD83D', '\\uDE00\\uD83D', '\\ud83d😀']`,
  `['\u0000\u0001\u001f\u007f\u0085\u2028\u2029\ufeff']`,
  `{ a: '', b: "", '': { '': '' } }`,
  // space
  `\u1680[\u2000\u200a\u202f\u205f\u3000\u00a0\ufeff0\v\f\t]`,
  // refused
  ``,
  ` `,
  `// only a comment`,
  `{`,
  `{ a: 1`,
  `{ a: [1 }`,
  `{ a }`,
  `{ a: }`,
  `{ a 1 }`,
  `{ a: 1 b: 2 }`,
  `{ , }`,
  `{ a: 1,, b: 2 }`,
  `{ a: [,] }`,
  `{ a: [1,,2] }`,
  `{ a: 01 }`,
  `{ a: 0x }`,
  `{ a: 1e }`,
  `{ a: . }`,
  `{ a: -'x' }`,
  `{ a: 'x }`,
  `{ a: 'x\ny' }`,
  `{ a: '\\x4' }`,
  `{ a: '\\u12' }`,
  `{ a: '\\1' }`,
  `{ a: undefined }`,
  `{ a: True }`,
  `{ a-b: 1 }`,
  `{ 1: 2 }`,
  `{ a: 1 } x`,
  `{ a: 1 } {}`,
  `{ a: /* open }`,
  `{ a: 1 } /`,
  `{ "a": 1; }`,
  `{ a = 1 }`,
  "{ a: `x` }",
  `# hash\n{ a: 1 }`,
  // refused: structure
  `[`, `[1`, `[1,`, `]`, `}`, `{]`, `[}`, `[1}`, `{a:1]`, `[[]`, `[]]`, `{{}}`, `{[]}`, `[a]`, `{a:b}`, `,`, `[1 2]`,
  `[1;2]`, `[1:2]`, `{a::1}`, `{:1}`, `{a,}`, `{a:1,b}`, `{a:,}`, `{a:1,,}`, `[1,,]`, `[,1]`, `{"a"}`, `{"a" 1}`,
  `{a:1}{`, `[] []`, `null null`, `1 2`, `'a' 'b'`, `(1)`, `{a:(1)}`, `[...a]`, `{...a}`, `{a(){}}`, `{[a]:1}`,
  // refused: literals
  `nul`, `nulll`, `Null`, `NULL`, `truefalse`, `tru`, `False`, `undefined`, `infinity`, `Infinit`, `Infinityy`, `nan`,
  `NaN0`, `yes`, `void 0`, `n\\u0075ll`, `-null`, `+true`, `-undefined`,
  // refused: numbers
  `00`, `-01`, `+00`, `0123`, `09`, `1_000`, `1,5`, `1.2.3`, `..5`, `.`, `-.`, `+`, `-`, `--1`, `+-1`, `- 1`, `+ 1`,
  `1e`, `1e+`, `1e-`, `1E1.5`, `1ee1`, `.e1`, `0x`, `0xG`, `-0x`, `0x1.8`, `0x1p3`, `0b1`, `0o7`, `1n`, `1f`, `0x1n`,
  `１`, `٣`, `1\u0660`, `−1`, `1 e1`, `0 x1`, `- Infinity`, `- NaN`,
  // refused: strings
  `'`, `"`, `'a"`, `"a'`, `'a\nb'`, `"a\rb"`, `'\\`, `'\\'`, `'\\x'`, `'\\xg0'`, `'\\x 1'`, `'\\u'`, `'\\u123'`,
  `'\\u123g'`, `'\\u{1F600}'`, `'\\u+123'`, `'\\x+1'`, `'\\2'`, `'\\9'`, `'\\00'`, `'\\01'`, `'\\09'`, `'\\xé1'`,
  `'a' + 'b'`, `‘a’`, `“a”`, `'''a'''`, `"""a"""`, `'a''b'`, `\\'a'`,
  // refused: keys
  `{1a:1}`, `{.5:1}`, `{-a:1}`, `{a.b:1}`, `{a b:1}`, `{a/b:1}`, `{a\\:1}`, `{a\\x61:1}`, `{\\u0030a:1}`, `{\\u002d:1}`,
  `{a\\u002d:1}`, `{\\u00e:1}`, `{\\ud835\\udcb3:1}`, `{\u200da:1}`, `{\u0301a:1}`, `{😀:1}`, `{a😀:1}`, `{a·b:1}`,
  `{²:1}`, `{a²:1}`, `{℘:1}`, `{#a:1}`, `{@a:1}`, `{*:1}`, `{null}`, `{'a':}`, `{"a\nb":1}`, `{\`a\`:1}`, `{a?:1}`,
  // refused: space and comments
  `\u0085{}`, `\u200b{}`, `\u180e{}`, `\u0000{}`, `{}\u0000`, `{}\u001a`, `/`, `/*`, `/**`, `/*/`, `/* /* */ */0`,
  `//`, `/ /0`, `0 /`, `0 //\n1`, `0 /* */ 1`, `<!-- -->0`, `{a:1/ *x*/}`, `{a/:1}`, `1/2`, `; {}`, `{};`, `\\u0020{}`,
  `{a:1}\\n`, `--- {}`, `a: 1`, `a=1`, `module.exports = {}`,
];

// Numbers that look random and are the same for one seed.
let state = Number(process.argv[4] ?? 1) >>> 0;
const roll = (sides) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * sides);
};
const pick = (list) => list[roll(list.length)];
const scraps = [
  ..."{}[]:,'\"\\/*+-.0123456789eExXunrtfaINlsyv$_ \t\n\r\u2028\u2029\ufeff\u0085\u00a0éπ\u0301·😀",
  ...["null", "true", "Infinity", "NaN", "0x", "\\u", "\\x", "\\u0061", "\\\n", "//", "/*", "*/", "''", "__proto__:"],
];
// One to three places changed: something taken out, put in, replaced, doubled, or brought over from another text.
const change = (text) => {
  const chars = [...text];
  for (let left = 1 + roll(3); left > 0; left--) {
    const at = roll(chars.length + 1);
    const other = [...pick(texts)];
    const from = roll(other.length + 1);
    switch (roll(5)) {
      case 0: chars.splice(at, 1 + roll(2)); break;
      case 1: chars.splice(at, 0, pick(scraps)); break;
      case 2: chars.splice(at, 1, pick(scraps)); break;
      case 3: chars.splice(at, 0, ...chars.slice(at, at + 1 + roll(6))); break;
      default: chars.splice(at, roll(3), ...other.slice(from, from + 1 + roll(8)));
    }
  }
  return chars.join("");
};

console.warn = () => {};
const read = (text) => {
  try {
    return { text, value: JSON5.parse(text) };
  } catch {
    return { text };
  }
};
const count = Number(process.argv[3] ?? 0);
const valid = texts.filter((text) => "value" in read(text));
const cases = (count ? Array.from({ length: count }, () => change(pick(valid))) : texts).map(read);
// Half of a surrogate pair has no UTF-8; Node writes U+FFFD for it.
const json = JSON.stringify(cases, null, 1).replace(/(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/g, "$1\ufffd");
process.stdout.write(json + "\n");
