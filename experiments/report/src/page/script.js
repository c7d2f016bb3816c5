// What a reader can turn and point at: sliders, values under the pointer, the attention viewer. The page is whole without it.
// Texts arrive as they are to be shown, and only ever become text nodes and attributes, never markup.
'use strict';
(() => {
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
  const number = (value) => String(value).replace('-', '−');

  // A colour scale: level 0 is no value, 1 to 255 lead from `low` to `high`.
  const scaleOf = ({ palette, low, high }) => {
    const rgb = bytes(palette);
    const part = (level, i) => rgb[3 * level + i];
    const digits = clamp(Math.ceil(Math.log10(100 / (high - low))), 0, 12);
    return {
      packed: Uint32Array.from({ length: 256 }, (_, i) => (255 << 24) | (part(i, 2) << 16) | (part(i, 1) << 8) | part(i, 0)),
      css: (level) => `rgb(${part(level, 0)},${part(level, 1)},${part(level, 2)})`,
      value: (level) => (level ? number((low + ((level - 1) / 254) * (high - low)).toFixed(digits)) : 'no value'),
    };
  };

  // Cells as a picture of one pixel each.
  const picture = (cells, rows, columns, packed) => {
    const canvas = make('canvas', { width: columns, height: rows });
    if (!cells.length) return canvas;
    const context = canvas.getContext('2d');
    const image = context.createImageData(columns, rows);
    new Uint32Array(image.data.buffer).set(Uint32Array.from(cells, (level) => packed[level]));
    context.putImageData(image, 0, 0);
    return canvas;
  };
  const repaint = (image, ...cells) => image.setAttribute('href', picture(...cells).toDataURL());

  const titleOf = (figure) => figure.querySelector('h3').textContent;
  const controls = (figure, ...parts) => {
    const line = figure.querySelector('.turn') || make('div', { class: 'turn' });
    line.append(...parts);
    figure.querySelector('.plot').before(line);
  };

  // A slider over frames; `turn` is called with the frame that is wanted.
  const slider = (figure, { frames, shown }, turn) => {
    if (frames.length < 2) return;
    const output = make('output', {});
    const input = make('input', {
      type: 'range', min: 0, max: frames.length - 1, value: shown, autocomplete: 'off', 'aria-label': `Frame of ${titleOf(figure)}`,
    });
    const tell = () => {
      const name = frames[input.value];
      input.setAttribute('aria-valuetext', name);
      output.replaceChildren(bdi(name));
      for (const text of figure.querySelectorAll('.frame')) text.textContent = name;
    };
    tell();
    on(input, 'input', () => {
      tell();
      turn(Number(input.value));
    });
    controls(figure, input, output);
  };

  // Values under the pointer, or under a cursor that the arrow keys move. A place is a panel, a column, and a row in it. A panel
  // has a number of `columns` and of `rows(column)`; it finds a place (`at`) and reads it: where it is, what marks it, what it
  // says. Returns what reads the place again in a new frame.
  const readable = (figure, panels) => {
    const plot = figure.querySelector('.plot');
    const svg = plot.querySelector('svg');
    const mark = svg.appendChild(draw('g', { class: 'mark' }));
    const tip = plot.appendChild(make('div', { class: 'tip', role: 'status' }));
    const name = `${titleOf(figure)}: arrow keys read values`;
    fill(plot, { tabindex: 0, role: 'application', 'aria-label': name, 'aria-describedby': `${figure.id}-desc` });
    let place = null;
    const show = (next) => {
      place = next;
      const { x, y, marks, says } = place ? panels[place[0]].read(place[1], place[2]) : { marks: [], says: [] };
      mark.replaceChildren(...marks);
      tip.replaceChildren(...says);
      if (!place) return;
      const [inner, outer] = [svg.getBoundingClientRect(), plot.getBoundingClientRect()];
      const scale = inner.width / svg.viewBox.baseVal.width;
      const [left, top] = [inner.left - outer.left + x * scale, inner.top - outer.top + y * scale];
      const [width, height] = [tip.offsetWidth, tip.offsetHeight];
      const room = Math.max(0, outer.width - width);
      tip.style.left = `${clamp(left + 16 > room ? left - 16 - width : left + 16, 0, room)}px`;
      tip.style.top = `${top + 16 + height > outer.height ? Math.max(0, top - 12 - height) : top + 16}px`;
    };
    const move = (dx, dy, dp) => {
      const [p, row, column] = place ? [clamp(place[0] + dp, 0, panels.length - 1), place[1] + dy, place[2] + dx] : [0, 0, 0];
      const within = clamp(column, 0, panels[p].columns - 1);
      if (panels[p].rows(within)) show([p, clamp(row, 0, panels[p].rows(within) - 1), within]);
    };
    on(svg, 'pointermove pointerdown', (event) => {
      const box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      const found = panels.map(({ at }) => at((event.clientX - box.left) * scale, (event.clientY - box.top) * scale));
      const p = found.findIndex(Boolean);
      show(p < 0 ? null : [p, ...found[p]]);
    });
    on(svg, 'pointerleave', () => show(null));
    on(plot, 'blur', () => show(null));
    on(plot, 'focus', () => plot.matches(':focus-visible') && move(0, 0, 0));
    const moves = {
      ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0], PageUp: [0, 0, -1], PageDown: [0, 0, 1],
    };
    on(plot, 'keydown', (event) => {
      if (event.key === 'Escape') show(null);
      const way = moves[event.key];
      if (!way || event.ctrlKey || event.altKey || event.metaKey || (way[2] && panels.length < 2)) return;
      event.preventDefault();
      move(...way);
    });
    return () => show(place);
  };

  // A panel of cells with names of rows and columns; `cell(row, column)` is [x, y, width, height], `says` what stands in it.
  const grid = (rows, columns, cell, says) => ({
    columns: columns.length,
    rows: (column) => (column < 0 ? 0 : rows.length),
    at: (x, y) => {
      const holds = (value, box, side) => value >= box[side] && value < box[side] + box[side + 2];
      const row = rows.findIndex((_, i) => holds(y, cell(i, 0), 1));
      const column = row < 0 ? -1 : columns.findIndex((_, i) => holds(x, cell(row, i), 0));
      return column < 0 ? null : [row, column];
    },
    read: (row, column) => {
      const [x, y, width, height] = cell(row, column);
      const frame = (stroke, wide) => draw('rect', { x, y, width, height, fill: 'none', stroke, 'stroke-width': wide });
      const where = make('div', {}, bdi(rows[row]), ' · ', bdi(columns[column]));
      const what = make('b', {}, ...says(row * columns.length + column));
      return { x: x + width / 2, y: y + height / 2, marks: [frame('#fff', 3), frame('#000', 1)], says: [where, what] };
    },
  });

  const map = (figure, data) => {
    const { packed, value } = scaleOf(data);
    const images = [...figure.querySelectorAll('image.cells')];
    const panels = data.panels.map(({ rows, columns, box: [x, y, w, h], cells: text }) => {
      const [all, size] = [bytes(text), rows.length * columns.length];
      const image = size ? images.shift() : null;
      let cells;
      const turn = (frame) => {
        cells = all.subarray(frame * size, (frame + 1) * size);
        if (image && cells.length) repaint(image, cells, rows.length, columns.length, packed);
      };
      const [wide, high] = [w / columns.length, h / rows.length];
      const cell = (row, column) => [x + column * wide, y + row * high, wide, high];
      return { turn, ...grid(rows, columns, cell, (i) => [value(cells[i])]) };
    });
    const turn = (frame) => panels.forEach((panel) => panel.turn(frame));
    turn(data.shown);
    const again = readable(figure, panels);
    slider(figure, data, (frame) => {
      turn(frame);
      again();
    });
  };

  const words = (figure, data) => {
    const { css, value } = scaleOf(data);
    const [levels, cells] = [bytes(data.levels), new Uint16Array(bytes(data.cells).buffer)];
    const places = [...figure.querySelectorAll('g.word')].map((word) => {
      const rect = word.querySelector('rect');
      return { rect, text: word.querySelector('text'), box: ['x', 'y', 'width', 'height'].map((side) => Number(rect.getAttribute(side))) };
    });
    let first = data.shown * places.length;
    const word = (i) => data.texts[cells[first + i]];
    const cell = (row, column) => places[row * data.columns.length + column].box;
    const again = readable(figure, [grid(data.rows, data.columns, cell, (i) => [bdi(word(i)), ` ${value(levels[first + i])}`])]);
    slider(figure, data, (frame) => {
      first = frame * places.length;
      places.forEach(({ rect, text, box }, i) => {
        const [whole, room] = [[...word(i)], Math.floor((box[2] - 4) / 6.5)];
        rect.setAttribute('fill', css(levels[first + i]));
        text.textContent = whole.length > room ? `${whole.slice(0, room - 1).join('')}…` : word(i);
      });
      again();
    });
  };

  // A row of such a panel is a curve that has a value at that place along x, counted from the top.
  const NEAREST = 6;
  const lines = (figure, data) => readable(figure, data.panels.map(({ box: [left, top, width, height], y: [low, high], xs, px, series }) => {
    const level = (value) => top + height * (1 - (value - low) / (high - low || 1));
    const places = xs.map(() => []);
    for (const { name, color, y, points } of series) {
      const put = (i, value) => value !== null && places[i].push({ name, color: color || 'currentColor', value, at: level(value) });
      if (y) y.forEach((value, i) => put(i, value));
      else for (const [i, value] of points) put(i, value);
    }
    for (const place of places) place.sort((a, b) => a.at - b.at);
    const nearest = (all, far) => all.reduce((best, one, i) => (far(one) < far(all[best]) ? i : best), 0);
    return {
      columns: xs.length,
      rows: (column) => (places[column] || []).length,
      at: (x, y) => {
        if (x < left - 6 || x > left + width + 6 || y < top || y > top + height) return null;
        const column = nearest(px, (one) => Math.abs(one - x));
        return places[column].length ? [nearest(places[column], (one) => Math.abs(one.at - y)), column] : null;
      },
      read: (row, column) => {
        const x = px[column];
        const begin = clamp(row - NEAREST / 2, 0, Math.max(0, places[column].length - NEAREST));
        const near = places[column].slice(begin, begin + NEAREST);
        const line = ({ name, color, value }, i) => {
          const swatch = make('i', {});
          swatch.style.background = color;
          return make('tr', { class: begin + i === row ? 'near' : '' }, make('th', { scope: 'row' }, swatch, bdi(name)), make('td', {}, number(value)));
        };
        const guide = draw('line', { x1: x, x2: x, y1: top, y2: top + height, stroke: 'currentColor', 'stroke-opacity': 0.5 });
        const dots = near.map(({ at, color }) => draw('circle', { cx: x, cy: at, r: 3.5, fill: color }));
        const where = make('div', {}, bdi(data.x), ` ${number(xs[column])}`);
        return { x, y: near[row - begin].at, marks: [guide, ...dots], says: [where, make('table', {}, make('tbody', {}, ...near.map(line)))] };
      },
    };
  }));

  // Of many, one is reached by the tabulator; the arrow keys move on, in rows of `columns`.
  const rove = (items, columns, choose) => items.forEach((item, i) => {
    item.setAttribute('tabindex', i ? -1 : 0);
    on(item, 'focus', () => {
      for (const other of items) other.setAttribute('tabindex', other === item ? 0 : -1);
      choose(i);
    });
    on(item, 'keydown', (event) => {
      const next = items[i + { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[event.key]];
      if (!next) return;
      event.preventDefault();
      next.focus();
    });
  });

  const attention = (figure, data) => {
    const { layers, heads, prompts } = data;
    const { packed } = scaleOf(data);
    const thumbs = [...figure.querySelectorAll('image.cells')];
    if (!thumbs.length) return;
    const nameOf = (head) => `Layer ${Math.floor(head / heads)}, head ${head % heads}`;
    const press = (items, chosen) => items.forEach((item, i) => item.setAttribute('aria-pressed', i === chosen));
    const [title, large, told] = [make('h4', {}), make('div', {}), make('p', { role: 'status' })];
    const row = make('p', { class: 'tokens', role: 'group', 'aria-label': 'Tokens: choose the one that attends' });
    let [frame, head, query, names, tokens, cells] = [data.shown, 0, 0, [], [], []];

    const pattern = (which) => {
      const size = names.length ** 2;
      return cells.subarray((frame * layers * heads + which) * size, (frame * layers * heads + which + 1) * size);
    };
    const attend = (next) => {
      query = next;
      const weights = Array.from(pattern(head).subarray(query * names.length, (query + 1) * names.length), (level) => level / 255);
      tokens.forEach((token, key) => token.style.setProperty('--weight', weights[key]));
      press(tokens, query);
      const best = weights.map((weight, key) => [weight, names[key]]).filter(([weight]) => weight > 0.005).sort((a, b) => b[0] - a[0]);
      const list = best.slice(0, 4).flatMap(([weight, name]) => [make('br', {}), weight.toFixed(2), ' ', bdi(name)]);
      told.replaceChildren(bdi(names[query]), ' attends to', ...list);
    };
    const enlarge = (next) => {
      head = next;
      const canvas = picture(pattern(head), names.length, names.length, packed);
      fill(canvas, { role: 'img', 'aria-label': `${nameOf(head)}: queries from the top, keys from the left` });
      on(canvas, 'pointermove', (event) => {
        const box = canvas.getBoundingClientRect();
        attend(clamp(Math.floor(((event.clientY - box.top) / box.height) * names.length), 0, names.length - 1));
      });
      title.textContent = nameOf(head);
      large.replaceChildren(canvas);
      press(thumbs, head);
      attend(query);
    };
    const turn = (next) => {
      frame = next;
      thumbs.forEach((thumb, i) => repaint(thumb, pattern(i), names.length, names.length, packed));
      enlarge(head);
    };
    const spell = (prompt) => {
      names = prompt.tokens;
      cells = bytes(prompt.cells);
      query = names.length - 1;
      tokens = names.map((name) => make('button', { type: 'button', class: 'token' }, bdi(name)));
      tokens.forEach((token, i) => on(token, 'pointerenter', () => attend(i)));
      rove(tokens, 1, attend);
      row.replaceChildren(...tokens);
      turn(frame);
    };

    figure.querySelector('svg').setAttribute('role', 'group');
    thumbs.forEach((thumb, i) => fill(thumb, { class: 'cells thumb', role: 'button', 'aria-label': nameOf(i) }));
    rove(thumbs, heads, enlarge);
    if (prompts.length > 1) {
      const options = prompts.map(({ tokens: all }, i) => make('option', { value: i }, all.join('').slice(0, 60)));
      const select = make('select', { 'aria-label': 'Prompt', autocomplete: 'off' }, ...options);
      on(select, 'change', () => spell(prompts[select.value]));
      controls(figure, select);
    }
    slider(figure, data, turn);
    figure.querySelector('.plot').after(make('div', { class: 'viewer' }, make('div', {}, title, large), make('div', {}, row, told)));
    spell(prompts[0]);
  };

  const kinds = { map, words, lines, attention };
  for (const script of document.querySelectorAll('figure > script')) {
    try {
      const data = JSON.parse(script.textContent);
      kinds[data.type](script.parentElement, data);
    } catch (error) {
      console.error(script.id, error); // One figure that cannot be turned must not stop the others.
    }
  }
})();
