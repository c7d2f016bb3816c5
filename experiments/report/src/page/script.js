// What a reader can turn and point at: sliders, values under the pointer, the attention viewer. The page is whole without it.
// Texts from data only ever become text nodes and attributes, never markup.
'use strict';
(() => {
  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };
  const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
  const draw = (tag, attributes) => fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, []);
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));

  // A text with what cannot be seen made visible, kept from turning its neighbours around.
  const HIDDEN = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/gu;
  const code = (c) => `⟨U+${c.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`;
  const visible = (text) => text
    .replace(/^ +| +$/g, (spaces) => '·'.repeat(spaces.length))
    .replace(/\n/g, '⏎').replace(/\t/g, '⇥').replace(HIDDEN, code);
  const bdi = (text) => make('bdi', {}, visible(text));
  const short = (value) => String(Number(value.toPrecision(4))).replace('-', '−');

  // A colour scale of 255 levels; level 0 is no value.
  const scaleOf = ({ palette, low, high }) => {
    const rgb = bytes(palette);
    const packed = new Uint32Array(256);
    for (let i = 0; i < 256; i++) packed[i] = (255 << 24) | (rgb[3 * i + 2] << 16) | (rgb[3 * i + 1] << 8) | rgb[3 * i];
    const digits = clamp(Math.ceil(Math.log10(254 / (high - low))), 0, 12);
    return {
      packed,
      css: (level) => `rgb(${rgb.subarray(3 * level, 3 * level + 3).join()})`,
      // The ink that reads on a level, by its luma.
      ink: (level) => (rgb[3 * level] * 0.299 + rgb[3 * level + 1] * 0.587 + rgb[3 * level + 2] * 0.114 > 140 ? '#111417' : '#ffffff'),
      value: (level) => (level ? (low + ((level - 1) / 254) * (high - low)).toFixed(digits).replace('-', '−') : 'no value'),
    };
  };

  // Cells as a picture of one pixel each.
  const picture = (cells, offset, rows, columns, packed) => {
    const canvas = make('canvas', { width: columns, height: rows });
    if (!rows || !columns) return canvas;
    const context = canvas.getContext('2d');
    const image = context.createImageData(columns, rows);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < pixels.length; i++) pixels[i] = packed[cells[offset + i]];
    context.putImageData(image, 0, 0);
    return canvas;
  };

  const controls = (figure) => {
    const found = figure.querySelector('.turn');
    if (found) return found;
    const line = make('div', { class: 'turn' });
    figure.querySelector('.plot').before(line);
    return line;
  };

  // A slider over frames; `turn` is called with the frame that is wanted.
  const slider = (figure, { frames, shown }, turn) => {
    if (frames.length < 2) return;
    const name = `Frame of ${figure.querySelector('h3').textContent}`;
    const input = make('input', { type: 'range', min: 0, max: frames.length - 1, step: 1, value: shown, 'aria-label': name, autocomplete: 'off' });
    const output = make('output');
    const tell = (frame) => {
      input.setAttribute('aria-valuetext', frames[frame]);
      output.replaceChildren(bdi(frames[frame]));
    };
    tell(shown);
    input.addEventListener('input', () => {
      tell(Number(input.value));
      turn(Number(input.value));
    });
    controls(figure).append(input, output);
  };

  // Values under the pointer, or under a cursor that the arrow keys move. A reader finds a place (`at`, `first`), moves it, and
  // reads it: where it is, what marks it, what it says. Returns what reads the place again after the picture has changed.
  const readable = (figure, reader) => {
    const plot = figure.querySelector('.plot');
    const svg = plot.querySelector('svg');
    const mark = draw('g', { class: 'mark' });
    const tip = make('div', { class: 'tip', role: 'status' });
    svg.append(mark);
    plot.append(tip);
    fill(plot, {
      tabindex: 0, role: 'application', 'aria-describedby': `${figure.id}-desc`,
      'aria-label': `${figure.querySelector('h3').textContent}: arrow keys read values`,
    }, []);
    let place = null;
    const show = (next) => {
      place = next;
      const found = place && reader.read(place);
      mark.replaceChildren(...(found ? found.marks : []));
      tip.replaceChildren(...(found ? found.says : []));
      if (!found) return;
      const [inner, outer] = [svg.getBoundingClientRect(), plot.getBoundingClientRect()];
      const scale = inner.width / svg.viewBox.baseVal.width;
      const [x, y] = [inner.left - outer.left + found.x * scale, inner.top - outer.top + found.y * scale];
      const room = outer.width - tip.offsetWidth;
      const left = x + 16 <= room ? x + 16 : x - 16 - tip.offsetWidth;
      tip.style.left = `${clamp(left, 0, Math.max(0, room))}px`;
      tip.style.top = `${y + 16 + tip.offsetHeight > outer.height ? Math.max(0, y - 12 - tip.offsetHeight) : y + 16}px`;
    };
    const point = (event) => {
      const box = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / box.width;
      show(reader.at((event.clientX - box.left) * scale, (event.clientY - box.top) * scale));
    };
    svg.addEventListener('pointermove', point);
    svg.addEventListener('pointerdown', point);
    svg.addEventListener('pointerleave', () => show(null));
    plot.addEventListener('blur', () => show(null));
    plot.addEventListener('focus', () => plot.matches(':focus-visible') && show(place || reader.first()));
    const moves = {
      ArrowLeft: [-1, 0, 0], ArrowRight: [1, 0, 0], ArrowUp: [0, -1, 0], ArrowDown: [0, 1, 0],
      PageUp: [0, 0, -1], PageDown: [0, 0, 1],
    };
    plot.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') show(null);
      const move = moves[event.key];
      if (!move || event.ctrlKey || event.altKey || event.metaKey || (move[2] && reader.panels < 2)) return;
      event.preventDefault();
      show(place ? reader.move(place, ...move) : reader.first());
    });
    return () => show(place);
  };

  // Reads grids. A panel has names of rows and columns, `cell(row, column)` as [x, y, width, height], and what a cell says.
  const grids = (panels) => {
    const inside = (value, begin, length) => value >= begin && value < begin + length;
    const bounded = (p, row, column) => {
      const panel = panels[p];
      if (!panel.rows.length || !panel.columns.length) return null;
      return { p, row: clamp(row, 0, panel.rows.length - 1), column: clamp(column, 0, panel.columns.length - 1) };
    };
    return {
      panels: panels.length,
      at: (x, y) => {
        for (const [p, { rows, columns, cell }] of panels.entries()) {
          const row = rows.findIndex((_, i) => inside(y, cell(i, 0)[1], cell(i, 0)[3]));
          const column = row < 0 ? -1 : columns.findIndex((_, i) => inside(x, cell(row, i)[0], cell(row, i)[2]));
          if (column >= 0) return { p, row, column };
        }
        return null;
      },
      first: () => bounded(0, 0, 0),
      move: ({ p, row, column }, dx, dy, dp) => bounded(clamp(p + dp, 0, panels.length - 1), row + dy, column + dx),
      read: ({ p, row, column }) => {
        const panel = panels[p];
        const [x, y, width, height] = panel.cell(row, column);
        const frame = { x, y, width, height, fill: 'none' };
        return {
          x: x + width / 2,
          y: y + height / 2,
          marks: [draw('rect', { ...frame, stroke: '#ffffff', 'stroke-width': 3 }), draw('rect', { ...frame, stroke: '#000000' })],
          says: [
            make('div', {}, bdi(panel.rows[row]), ' · ', bdi(panel.columns[column])),
            make('b', {}, ...panel.says(row, column)),
          ],
        };
      },
    };
  };

  const map = (figure, data) => {
    const scale = scaleOf(data);
    const images = figure.querySelectorAll('image.cells');
    let frame = data.shown;
    const panels = data.panels.map(({ rows, columns, box: [x, y, width, height], cells: text }) => {
      const [cells, w, h] = [bytes(text), width / columns.length, height / rows.length];
      return {
        rows, columns, cells,
        cell: (row, column) => [x + column * w, y + row * h, w, h],
        says: (row, column) => [scale.value(cells[(frame * rows.length + row) * columns.length + column])],
      };
    });
    const again = readable(figure, grids(panels));
    slider(figure, data, (next) => {
      frame = next;
      panels.forEach(({ rows, columns, cells }, p) => {
        const size = rows.length * columns.length;
        if (!size || !images[p]) return;
        images[p].setAttribute('href', picture(cells, frame * size, rows.length, columns.length, scale.packed).toDataURL());
      });
      again();
    });
  };

  const words = (figure, data) => {
    const { rows, columns, texts } = data;
    const scale = scaleOf(data);
    const levels = bytes(data.levels);
    const pairs = bytes(data.cells);
    const places = [...figure.querySelectorAll('g.word')].map((word) => {
      const rect = word.querySelector('rect');
      return { rect, text: word.querySelector('text'), box: ['x', 'y', 'width', 'height'].map((name) => Number(rect.getAttribute(name))) };
    });
    let frame = data.shown;
    const index = (i) => frame * rows.length * columns.length + i;
    const textOf = (i) => texts[pairs[2 * index(i)] | (pairs[2 * index(i) + 1] << 8)];
    const again = readable(figure, grids([{
      rows, columns,
      cell: (row, column) => places[row * columns.length + column].box,
      says: (row, column) => {
        const i = row * columns.length + column;
        return [bdi(textOf(i)), ` ${scale.value(levels[index(i)])}`];
      },
    }]));
    slider(figure, data, (next) => {
      frame = next;
      places.forEach(({ rect, text, box }, i) => {
        const level = levels[index(i)];
        const letters = [...visible(textOf(i))];
        const room = Math.max(1, Math.floor((box[2] - 4) / 6.5));
        rect.setAttribute('fill', scale.css(level));
        text.setAttribute('fill', scale.ink(level));
        text.textContent = `\u2068${letters.length > room ? letters.slice(0, room - 1).join('') + '…' : letters.join('')}\u2069`;
      });
      again();
    });
  };

  // The curves nearest to the pointer at the nearest place along x.
  const NEAREST = 6;
  const lines = (figure, data) => {
    const groups = [...figure.querySelectorAll('g.panel')];
    const panels = data.panels.map((panel, p) => {
      const curves = groups[p] ? groups[p].querySelectorAll('path.line') : [];
      const series = panel.series.map(({ name, y, points }, s) => {
        const values = y || panel.xs.map(() => null);
        if (points) for (const [index, value] of points) values[index] = value;
        return { name, values, color: curves[s] ? curves[s].getAttribute('stroke') : 'currentColor' };
      });
      return { ...panel, series };
    });
    const bounded = (p, index, y) => {
      const { px, box } = panels[p];
      return px.length ? { p, index: clamp(index, 0, px.length - 1), y: clamp(y, box[1], box[1] + box[3]) } : null;
    };
    readable(figure, {
      panels: panels.length,
      at: (x, y) => {
        const p = panels.findIndex(({ box }) => x >= box[0] - 6 && x <= box[0] + box[2] + 6 && y >= box[1] && y <= box[1] + box[3]);
        if (p < 0) return null;
        const { px } = panels[p];
        return bounded(p, px.reduce((best, at, i) => (Math.abs(at - x) < Math.abs(px[best] - x) ? i : best), 0), y);
      },
      first: () => bounded(0, 0, panels[0].box[1]),
      move: ({ p, index, y }, dx, dy, dp) => {
        const next = clamp(p + dp, 0, panels.length - 1);
        const [from, to] = [panels[p].box, panels[next].box];
        return bounded(next, index + dx, to[1] + (y - from[1]) + (dy * to[3]) / 20);
      },
      read: ({ p, index, y }) => {
        const { box, y: [low, high], xs, px, series } = panels[p];
        const near = series.filter(({ values }) => values[index] !== null && values[index] !== undefined)
          .map((one) => ({ ...one, value: one.values[index], at: box[1] + box[3] * (1 - (one.values[index] - low) / (high - low)) }))
          .sort((a, b) => Math.abs(a.at - y) - Math.abs(b.at - y)).slice(0, NEAREST);
        const first = near[0];
        near.sort((a, b) => a.at - b.at);
        const guide = { x1: px[index], x2: px[index], y1: box[1], y2: box[1] + box[3], stroke: 'currentColor', 'stroke-opacity': 0.5 };
        const row = (one) => {
          const swatch = make('i');
          swatch.style.background = one.color;
          return make('tr', one === first ? { class: 'near' } : {}, make('th', { scope: 'row' }, swatch, bdi(one.name)), make('td', {}, short(one.value)));
        };
        return {
          x: px[index],
          y,
          marks: [draw('line', guide), ...near.map(({ at, color }) => draw('circle', { cx: px[index], cy: at, r: 3.5, fill: color }))],
          says: [make('div', {}, bdi(`${data.x} ${short(xs[index])}`)), make('table', {}, make('tbody', {}, ...near.map(row)))],
        };
      },
    });
  };

  // One of several has the focus; the arrow keys move it, in rows of `columns`.
  const rove = (items, columns) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    items.forEach((item, i) => {
      item.setAttribute('tabindex', i ? -1 : 0);
      item.addEventListener('focus', () => items.forEach((other) => other.setAttribute('tabindex', other === item ? 0 : -1)));
      item.addEventListener('keydown', (event) => {
        const next = items[i + (steps[event.key] || 0)];
        if (!steps[event.key] || !next) return;
        event.preventDefault();
        next.focus();
      });
    });
  };

  const attention = (figure, data) => {
    const { layers, heads, prompts } = data;
    const { packed } = scaleOf({ ...data, low: 0, high: 1 });
    const thumbs = [...figure.querySelectorAll('image.cells')].slice(0, layers * heads);
    if (!thumbs.length || !prompts.length) return;
    const decoded = prompts.map(() => null);
    const now = { frame: data.shown, prompt: 0, head: 0, query: 0 };
    const title = make('h4');
    const large = make('div');
    const row = make('p', { class: 'tokens', role: 'group', 'aria-label': 'Tokens: choose the one that attends' });
    const told = make('p', { role: 'status' });
    let tokens = [];

    const pattern = () => {
      const size = prompts[now.prompt].tokens.length;
      const cells = (decoded[now.prompt] ||= bytes(prompts[now.prompt].cells));
      const offset = (head) => (now.frame * layers * heads + head) * size * size;
      return { size, cells, offset, weight: (key) => cells[offset(now.head) + now.query * size + key] / 255 };
    };
    const attend = () => {
      const { weight } = pattern();
      const names = prompts[now.prompt].tokens;
      const best = names.map((name, key) => [name, weight(key)]).filter(([, w]) => w >= 0.005).sort((a, b) => b[1] - a[1]).slice(0, 4);
      tokens.forEach((token, key) => {
        token.style.setProperty('--weight', weight(key));
        token.setAttribute('aria-pressed', key === now.query);
      });
      told.replaceChildren(bdi(names[now.query] || ''), ' attends to ', ...best.flatMap(([name, w], i) => [i ? ', ' : '', bdi(name), ` ${w.toFixed(2)}`]));
    };
    const choose = (query) => {
      now.query = query;
      attend();
    };
    const enlarge = () => {
      const { size, cells, offset } = pattern();
      const canvas = picture(cells, offset(now.head), size, size, packed);
      canvas.addEventListener('pointermove', (event) => {
        const box = canvas.getBoundingClientRect();
        choose(clamp(Math.floor(((event.clientY - box.top) / box.height) * size), 0, size - 1));
      });
      const name = `Layer ${Math.floor(now.head / heads)}, head ${now.head % heads}`;
      fill(canvas, { role: 'img', 'aria-label': `${name}: queries from the top, keys from the left` }, []);
      title.textContent = name;
      large.replaceChildren(canvas);
      thumbs.forEach((thumb, head) => thumb.setAttribute('aria-pressed', head === now.head));
      attend();
    };
    const sheet = () => {
      const { size, cells, offset } = pattern();
      if (size) thumbs.forEach((thumb, head) => thumb.setAttribute('href', picture(cells, offset(head), size, size, packed).toDataURL()));
      enlarge();
    };
    const spell = () => {
      const names = prompts[now.prompt].tokens;
      tokens = names.map((name) => make('button', { type: 'button', class: 'token' }, bdi(name)));
      tokens.forEach((token, query) => ['pointerenter', 'focus', 'click'].forEach((kind) => token.addEventListener(kind, () => choose(query))));
      rove(tokens, 1);
      row.replaceChildren(...tokens);
      now.query = Math.max(0, names.length - 1);
    };

    figure.querySelector('svg').setAttribute('role', 'group');
    thumbs.forEach((thumb, head) => {
      const pick = () => {
        now.head = head;
        enlarge();
      };
      fill(thumb, { class: 'cells thumb', role: 'button', 'aria-label': `Layer ${Math.floor(head / heads)}, head ${head % heads}` }, []);
      thumb.addEventListener('click', pick);
      thumb.addEventListener('focus', pick);
    });
    rove(thumbs, heads);
    if (prompts.length > 1) {
      const options = prompts.map((prompt, i) => make('option', { value: i }, visible(prompt.tokens.join('')).slice(0, 60) || `prompt ${i}`));
      const select = make('select', { 'aria-label': 'Prompt', autocomplete: 'off' }, ...options);
      select.addEventListener('change', () => {
        now.prompt = Number(select.value);
        spell();
        sheet();
      });
      controls(figure).append(select);
    }
    slider(figure, data, (frame) => {
      now.frame = frame;
      sheet();
    });
    spell();
    figure.querySelector('.plot').after(make('div', { class: 'viewer' }, make('div', {}, title, large), make('div', {}, row, told)));
    enlarge();
  };

  const kinds = { map, words, lines, attention };
  for (const script of document.querySelectorAll('figure > script[type="application/json"]')) {
    try {
      const data = JSON.parse(script.textContent);
      if (Object.hasOwn(kinds, data.type)) kinds[data.type](script.parentElement, data);
    } catch (error) {
      console.error(script.id, error); // One figure that cannot be turned must not stop the others.
    }
  }

  // The place in the table of contents.
  const links = new Map([...document.querySelectorAll('nav a')].map((link) => [link.hash.slice(1), link]));
  const targets = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const seen = new Set();
  const spy = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) seen[isIntersecting ? 'add' : 'delete'](target);
    const current = targets.filter((target) => seen.has(target)).pop();
    if (current) links.forEach((link, id) => (id === current.id ? link.setAttribute('aria-current', 'location') : link.removeAttribute('aria-current')));
  }, { rootMargin: '0px 0px -65% 0px' });
  targets.forEach((target) => spy.observe(target));
})();
