// Sliders, values under the pointer, the attention viewer. Texts become text nodes and attributes, never markup.
const fill = (node, attributes, ...children) => {
  for (const name in attributes) node.setAttribute(name, attributes[name]);
  node.append(...children);
  return node;
};
const make = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, ...children);
const draw = (tag, attributes) => fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes);
const bdi = (text) => make('bdi', {}, text);
const on = (node, kinds, act) => kinds.split(' ').forEach((kind) => node.addEventListener(kind, act));
const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const keys = (node, ways, act) => on(node, 'keydown', (event) => {
  if (!Object.hasOwn(ways, event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  act(ways[event.key]);
});
const ARROWS = { ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0] };
const inside = (x, y, [left, top, width, height]) => x >= left && x < left + width && y >= top && y < top + height;
const number = (value) => String(value).replace('-', '−');

// A colour scale: level 0 is no value, 1 to 255 lead from `low` to `high`.
const scaleOf = ({ palette, low, high }) => {
  const rgb = bytes(palette);
  const digits = clamp(Math.ceil(Math.log10(100 / (high - low))), 0, 12);
  return {
    pixels: Uint32Array.from({ length: 256 }, (_, i) => (255 << 24) | (rgb[3 * i + 2] << 16) | (rgb[3 * i + 1] << 8) | rgb[3 * i]),
    css: (level) => `rgb(${rgb.subarray(3 * level, 3 * level + 3)})`,
    value: (level) => (level ? number((low + ((level - 1) / 254) * (high - low)).toFixed(digits)) : 'no value'),
  };
};

// Cells as a picture of one pixel each.
const picture = (cells, columns, pixels) => {
  const canvas = make('canvas', { width: columns, height: cells.length / columns || 0 });
  if (!cells.length) return canvas;
  const context = canvas.getContext('2d');
  const image = context.createImageData(canvas.width, canvas.height);
  new Uint32Array(image.data.buffer).set(Uint32Array.from(cells, (level) => pixels[level]));
  context.putImageData(image, 0, 0);
  return canvas;
};

const titleOf = (figure) => figure.querySelector('h3').textContent;
const control = (figure, ...parts) => figure.querySelector('.plot').before(make('div', { class: 'turn' }, ...parts));

// A slider over frames; `turn` gets the frame that is wanted.
const slider = (figure, { frames, shown }, turn) => {
  if (frames.length < 2) return;
  const output = make('output', {});
  const input = make('input', {
    type: 'range', min: 0, max: frames.length - 1, value: shown, name: 'frame', autocomplete: 'off', 'aria-label': `Frame of ${titleOf(figure)}`,
  });
  const tell = () => {
    const name = frames[input.value];
    input.setAttribute('aria-valuetext', name);
    output.replaceChildren(bdi(name));
    figure.querySelector('.frame')?.replaceChildren(name);
  };
  tell();
  on(input, 'input', () => {
    tell();
    turn(Number(input.value));
  });
  control(figure, input, output);
};

// Values under the pointer or a cursor. A panel has `columns`, and `rows(column)` in each; it finds a place (`at`) and can
// `read` it: where it is, what marks it, what it says. Returns what reads again in a new frame.
const readable = (figure, panels) => {
  const plot = figure.querySelector('.plot');
  const svg = plot.querySelector('svg');
  const mark = svg.appendChild(draw('g', { class: 'mark' }));
  const tip = plot.appendChild(make('div', { class: 'tip', role: 'status' }));
  const name = `${titleOf(figure)}: arrow keys read values`;
  fill(plot, { tabindex: 0, role: 'application', 'aria-label': name, 'aria-describedby': `${figure.id}-desc` });
  let place = null;
  // Where the picture is on the screen, and units in a pixel.
  const screen = () => {
    const { left, top, width } = svg.getBoundingClientRect();
    return [left, top, svg.viewBox.baseVal.width / width];
  };
  const show = (next, follow) => {
    place = next;
    const { x, y, marks, says } = place ? panels[place[0]].read(place[1], place[2]) : { marks: [], says: [] };
    mark.replaceChildren(...marks);
    tip.replaceChildren(...says);
    if (!place) return;
    if (follow) mark.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    const [outer, [svgLeft, svgTop, units]] = [plot.getBoundingClientRect(), screen()];
    const [left, top] = [svgLeft - outer.left + x / units, svgTop - outer.top + y / units];
    const beside = (at, size, room) => `${at + 16 + size > room ? Math.max(0, at - 16 - size) : at + 16}px`;
    tip.style.left = beside(left, tip.offsetWidth, outer.width);
    tip.style.top = beside(top, tip.offsetHeight, outer.height);
  };
  const move = (dx, dy, dp) => {
    const [p, row, column] = place ? [clamp(place[0] + dp, 0, panels.length - 1), place[1] + dy, place[2] + dx] : [0, 0, 0];
    const within = clamp(column, 0, panels[p].columns - 1);
    if (panels[p].rows(within)) show([p, clamp(row, 0, panels[p].rows(within) - 1), within], true);
  };
  on(svg, 'pointermove pointerdown', ({ clientX, clientY }) => {
    const [left, top, units] = screen();
    const found = panels.map(({ at }) => at((clientX - left) * units, (clientY - top) * units));
    const p = found.findIndex(Boolean);
    show(p < 0 ? null : [p, ...found[p]]);
  });
  on(svg, 'pointerleave', ({ pointerType }) => pointerType === 'mouse' && show(null));
  on(plot, 'blur', () => show(null));
  on(plot, 'focus', () => plot.matches(':focus-visible') && move(0, 0, 0));
  keys(plot, { ...ARROWS, PageUp: [0, 0, -1], PageDown: [0, 0, 1], Escape: [] }, (way) => (way.length ? move(...way) : show(null)));
  return () => show(place);
};

// A panel of cells. `at(x, y)` finds one, `box(row, column)` is its [x, y, width, height], `says(index)` what it holds.
const grid = (rows, columns, at, box, says) => ({
  at,
  columns: columns.length,
  rows: () => columns.length && rows.length,
  read: (row, column) => {
    const [x, y, width, height] = box(row, column);
    const frame = () => draw('rect', { x, y, width, height });
    const where = make('div', {}, bdi(rows[row]), ' · ', bdi(columns[column]));
    const what = make('b', {}, ...says(row * columns.length + column));
    return { x: x + width / 2, y: y + height / 2, marks: [frame(), frame()], says: [where, what] };
  },
});

const map = (figure, data) => {
  const { pixels, value } = scaleOf(data);
  const images = [...figure.querySelectorAll('image.cells')];
  let frame = data.shown;
  const panels = data.panels.map(({ rows, columns, box, cells }) => {
    const [left, top, width, height] = box;
    const [all, size, wide, high] = [bytes(cells), rows.length * columns.length, width / columns.length, height / rows.length];
    const image = size && images.shift(); // What is empty has no image.
    const repaint = () => {
      const now = all.subarray(frame * size, (frame + 1) * size);
      if (image) image.setAttribute('href', picture(now, columns.length, pixels).toDataURL());
    };
    const at = (x, y) => size && inside(x, y, box) && [Math.floor((y - top) / high), Math.floor((x - left) / wide)];
    const cell = (row, column) => [left + column * wide, top + row * high, wide, high];
    return { repaint, ...grid(rows, columns, at, cell, (i) => [value(all[frame * size + i])]) };
  });
  const again = readable(figure, panels);
  slider(figure, data, (next) => {
    frame = next;
    for (const { repaint } of panels) repaint();
    again();
  });
};

const words = (figure, { rows, columns, texts, names, ...data }) => {
  const { css, value } = scaleOf(data);
  const [levels, cells] = [bytes(data.levels), new Uint16Array(bytes(data.cells).buffer)];
  const places = [...figure.querySelectorAll('.word')].map((word) => [...word.children]);
  const boxes = places.map(([rect]) => ['x', 'y', 'width', 'height'].map((side) => rect[side].baseVal.value));
  let first = data.shown * places.length;
  const at = (x, y) => {
    const i = boxes.findIndex((box) => inside(x, y, box));
    return i >= 0 && [Math.floor(i / columns.length), i % columns.length];
  };
  const says = (i) => [bdi(names[cells[first + i]]), ` ${value(levels[first + i])}`];
  const again = readable(figure, [grid(rows, columns, at, (row, column) => boxes[row * columns.length + column], says)]);
  slider(figure, data, (frame) => {
    first = frame * places.length;
    places.forEach(([rect, text], i) => {
      rect.setAttribute('fill', css(levels[first + i]));
      text.textContent = texts[cells[first + i]];
    });
    again();
  });
};

// A column of a panel of curves is a place along x that has values; its rows are the curves from the top.
const NEAREST = 6;
const lines = (figure, data) => readable(figure, data.panels.map(({ box, y: [low, high], xs, px, series }) => {
  const [left, top, width, height] = box;
  const all = xs.map((x, i) => ({ name: number(x), x: px[i], curves: [] }));
  for (const { name, color, y, points } of series) {
    for (const [i, value] of points || y.entries()) {
      const at = top + height * (1 - (value - low) / (high - low || 1));
      if (value !== null) all[i].curves.push({ name, color: color || 'currentColor', value, at });
    }
  }
  const places = all.filter(({ curves }) => curves.length);
  for (const { curves } of places) curves.sort((a, b) => a.at - b.at);
  const nearest = (items, far) => items.reduce((best, item, i) => (far(item) < far(items[best]) ? i : best), 0);
  return {
    columns: places.length,
    rows: (column) => places[column]?.curves.length,
    at: (x, y) => {
      if (!places.length || !inside(x, y, [left - 7, top, width + 14, height])) return false;
      const column = nearest(places, (place) => Math.abs(place.x - x));
      return [nearest(places[column].curves, ({ at }) => Math.abs(at - y)), column];
    },
    read: (row, column) => {
      const { name: where, x, curves } = places[column];
      const begin = clamp(row - NEAREST / 2, 0, Math.max(0, curves.length - NEAREST));
      const near = curves.slice(begin, begin + NEAREST);
      const line = (curve) => {
        const swatch = make('i', {});
        swatch.style.background = curve.color;
        const name = make('th', { scope: 'row' }, swatch, bdi(curve.name));
        return make('tr', { class: curve === curves[row] ? 'near' : '' }, name, make('td', {}, number(curve.value)));
      };
      const guide = draw('line', { x1: x, x2: x, y1: top, y2: top + height });
      const dots = near.map(({ at, color }) => draw('circle', { cx: x, cy: at, r: 3.5, fill: color }));
      const says = [make('div', {}, bdi(data.x), ` ${where}`), make('table', {}, make('tbody', {}, ...near.map(line)))];
      return { x, y: curves[row].at, marks: [guide, ...dots], says };
    },
  };
}));

// One of many is reached by Tab; arrow keys move on, in rows of `columns`.
const rove = (items, columns, choose) => items.forEach((item, i) => {
  item.tabIndex = i ? -1 : 0;
  on(item, 'focus', () => {
    for (const other of items) other.tabIndex = other === item ? 0 : -1;
    choose(i);
  });
  keys(item, ARROWS, ([dx, dy]) => items[i + dx + dy * columns]?.focus());
});

const attention = (figure, data) => {
  const { layers, heads } = data;
  const { pixels } = scaleOf(data);
  const prompts = data.prompts.filter(({ tokens: some }) => some.length);
  const thumbs = [...figure.querySelectorAll('image.cells')];
  if (!thumbs.length) return;
  const nameOf = (head) => `Layer ${Math.floor(head / heads)}, head ${head % heads}`;
  const press = (items, chosen) => items.forEach((item, i) => item.setAttribute('aria-pressed', i === chosen));
  const [title, large, told] = [make('h4', {}), make('div', { class: 'large' }), make('p', { role: 'status' })];
  const row = make('p', { class: 'tokens', role: 'group', 'aria-label': 'Tokens' });
  let [frame, head, query, names, tokens, cells] = [data.shown, 0, 0];

  const pattern = (which) => {
    const begin = (frame * layers * heads + which) * names.length ** 2;
    return picture(cells.subarray(begin, begin + names.length ** 2), names.length, pixels);
  };
  const attend = (next) => {
    query = next;
    const begin = ((frame * layers * heads + head) * names.length + query) * names.length;
    const weights = names.map((name, key) => [cells[begin + key] / 255, name]);
    tokens.forEach((token, key) => token.style.setProperty('--weight', weights[key][0]));
    press(tokens, query);
    const best = weights.filter(([weight]) => weight > 0.01).sort((a, b) => b[0] - a[0]).slice(0, 5);
    told.replaceChildren(bdi(names[query]), ' attends to', ...best.flatMap(([weight, name]) => [make('br', {}), weight.toFixed(2), ' ', bdi(name)]));
  };
  const enlarge = (next) => {
    head = next;
    const canvas = pattern(head);
    on(canvas, 'pointermove', ({ offsetY }) => attend(clamp(Math.floor((offsetY * names.length) / canvas.clientHeight), 0, names.length - 1)));
    title.textContent = `${nameOf(head)}: queries down, keys across`;
    const side = (of) => make('div', { class: of, 'aria-hidden': true }, ...names.map((name) => make('span', {}, name)));
    large.replaceChildren(...(names.length > 40 ? [canvas] : [side('ys'), canvas, side('xs')]));
    press(thumbs, head);
    attend(query);
  };
  const turn = (next) => {
    frame = next;
    thumbs.forEach((thumb, i) => thumb.setAttribute('href', pattern(i).toDataURL()));
    enlarge(head);
  };
  const spell = (prompt) => {
    names = prompt.tokens;
    cells = bytes(prompt.cells);
    query = names.length - 1;
    tokens = names.map((name) => make('button', { class: 'token' }, bdi(name)));
    tokens.forEach((token, i) => on(token, 'pointerenter', () => attend(i)));
    rove(tokens, 1, attend);
    row.replaceChildren(...tokens);
  };

  figure.querySelector('svg').setAttribute('role', 'group');
  thumbs.forEach((thumb, i) => fill(thumb, { class: 'cells thumb', role: 'button', 'aria-label': nameOf(i) }));
  rove(thumbs, heads, enlarge);
  if (prompts.length > 1) {
    const options = prompts.map(({ tokens: all }, i) => make('option', { value: i }, all.join('').slice(0, 60)));
    const select = make('select', { name: 'prompt', 'aria-label': 'Prompt' }, ...options);
    on(select, 'change', () => {
      spell(prompts[select.value]);
      turn(frame);
    });
    control(figure, select);
  }
  slider(figure, data, turn);
  figure.querySelector('.plot').after(make('div', { class: 'viewer' }, make('div', {}, title, large), make('div', {}, row, told)));
  spell(prompts[0]);
  enlarge(data.open);
};

for (const script of document.querySelectorAll('figure > script')) {
  try {
    const data = JSON.parse(script.textContent);
    ({ map, words, lines, attention })[data.type](script.parentElement, data);
  } catch (error) {
    console.error(script.id, error); // The others go on.
  }
}
