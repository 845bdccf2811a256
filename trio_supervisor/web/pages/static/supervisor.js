/* Live updates of the pages, which also work without them. The server renders all HTML; the script
   moves it and writes numbers as text. */
'use strict';
(() => {

const root = document.documentElement;
const $ = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

/* The browser may forbid storage. */
const stored = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const store = (key, value) => { try { localStorage.setItem(key, value); } catch { /* not stored */ } };

/* Light or dark */

if (stored('theme')) root.dataset.theme = stored('theme');

function changeTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = dark ? 'light' : 'dark';
  store('theme', root.dataset.theme);
}

/* Connection to the daemon */

/* fetch() refuses addresses with user and password, which the address of the page may have. */
function fetchHere(name, options) {
  const url = new URL(name, location.href);
  url.username = url.password = '';
  return fetch(url, options);
}

const PATIENCE = [1, 2, 3, 5]; // seconds between attempts

/* Reads a stream while the page is visible; `handlers` has a function for each kind of message.
   Returns a function that ends it. */
function listen(address, handlers) { // `address` may be a function: it can depend on messages
  const sign = $('.live');
  let source = null, attempt = 0, timer = 0;
  const show = (kind, text) => {
    if (sign.textContent !== text) sign.textContent = text;
    sign.className = `live ${kind}`;
    document.body.classList.toggle('gone', kind === 'off');
  };
  const close = () => { clearTimeout(timer); if (source) source.close(); source = null; };
  const open = () => {
    close();
    source = new EventSource(typeof address === 'function' ? address() : address);
    source.onopen = () => { attempt = 0; show('on', 'live'); };
    source.onerror = () => {
      close();
      show('off', 'daemon is gone, reconnecting');
      timer = setTimeout(open, 1000 * PATIENCE[Math.min(attempt++, PATIENCE.length - 1)]);
    };
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => handle(JSON.parse(event.data), event.lastEventId));
    }
  };
  const shown = () => (document.hidden ? close() : open());
  const again = (event) => { if (event.persisted) open(); };
  document.addEventListener('visibilitychange', shown);
  addEventListener('pagehide', close);
  addEventListener('pageshow', again);
  open();
  return () => {
    close();
    document.removeEventListener('visibilitychange', shown);
    removeEventListener('pagehide', close);
    removeEventListener('pageshow', again);
  };
}

/* Messages and questions */

let messageTimer = 0;
function say(text, bad = false) {
  const bar = $('.message');
  $('p', bar).textContent = text;
  bar.classList.toggle('bad', bad);
  bar.hidden = !text;
  clearTimeout(messageTimer);
  if (!bad) messageTimer = setTimeout(() => { bar.hidden = true; }, 10000);
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function ask(question, word) {
  return new Promise((resolve) => {
    const dialog = element('dialog', { class: 'ask', 'aria-label': question },
      element('p', {}, question),
      element('form', { method: 'dialog', class: 'choices' },
        element('div', { class: 'choices' },
          element('button', { value: '', autofocus: '' }, 'Cancel'),
          element('button', { value: 'yes', class: 'primary' }, word))));
    dialog.addEventListener('close', () => { dialog.remove(); resolve(dialog.returnValue === 'yes'); });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/* The status page */

function statusPage() {
  const table = $('.processes');
  const filter = $('.controls [name=filter]');
  const sort = $('.controls [name=sort]');
  const rows = new Map(); // full name -> tr
  const busy = new Map(); // full name -> number of actions under way
  const history = new Map(); // full name -> [[time, cpu, memory], ...]
  const { mark: shown, clock } = $('nav.bar').dataset;
  let mark = shown; // the mark of the event history that the page shows
  let ahead = Number(clock) - performance.now() / 1000; // seconds by which the daemon's clock is ahead
  let token = '', span = 300;
  let reversed = new URLSearchParams(location.search).get('sort')?.startsWith('-') || false;

  const fragment = (html) => {
    const template = document.createElement('template');
    template.innerHTML = html;
    return template.content;
  };

  /* Keep what is unfolded and focused when a row is replaced. */
  function swap(old, fresh) {
    fresh.hidden = old.hidden; // the filter is applied when rows may move
    const open = all('details[open]', old).map((one) => one.className);
    for (const one of all('details', fresh)) one.open = open.includes(one.className);
    const at = old.contains(document.activeElement) ? document.activeElement : null;
    old.replaceWith(fresh);
    if (!at) return;
    const same = at.value && $(`button[value="${at.value}"]`, fresh);
    (same && !same.disabled ? same : fresh).focus({ preventScroll: true });
  }

  function adopt(row) {
    rows.set(row.dataset.name, row);
    showBusy(row);
    showUptime(row);
    draw(row);
  }

  function putRow(html) {
    const fresh = $('tr', fragment(html));
    const old = rows.get(fresh.dataset.name);
    if (!old) return;
    swap(old, fresh);
    adopt(fresh);
  }

  function putHead(group, html) {
    const fresh = $('tr', fragment(html));
    const old = $(`tr.group[data-group="${CSS.escape(group)}"]`);
    if (fresh && old) { swap(old, fresh); enable(headButtons, group); }
  }

  function putSummary(html) {
    $('.summary').innerHTML = html;
    markFilter();
  }

  function leaving(is) {
    if (is) say('The supervisor is shutting down.', true);
  }

  /* Filter and sort */

  // Without a key rows stay in their groups.
  const keys = {
    state: (row) => Number(row.dataset.rank),
    cpu: (row) => -Number(row.dataset.cpu),
    memory: (row) => -Number(row.dataset.memory),
    uptime: (row) => Number(row.dataset.since) || Infinity,
    pid: (row) => Number($('.pid', row).textContent) || Infinity,
    restarts: (row) => -Number($('.restarts', row).textContent),
  };
  const DESCENDING = ['cpu', 'memory', 'uptime', 'restarts'];
  /* Rows change their order, appear and vanish only after the table was not used for a while, and
     ignore clicks in the second after that: a click must not hit another program. */
  const STILL = 10000; // milliseconds since the table was used
  const REST = 1000; // milliseconds in which a click may be meant for the row that was there before
  let used = -Infinity, waiting = 0, moving = 0;
  if (table) {
    for (const kind of ['pointermove', 'pointerdown', 'keydown', 'focusin']) {
      table.addEventListener(kind, () => { used = performance.now(); }, { passive: true });
    }
    table.addEventListener('pointerleave', (event) => {
      if (event.pointerType === 'mouse') { used = -Infinity; settle(); }
    });
  }

  function settle() {
    clearTimeout(waiting);
    const left = used + STILL - performance.now();
    if (left > 0) waiting = setTimeout(settle, left);
    else if (arrange()) rest();
  }

  function rest() {
    table.classList.add('moving');
    clearTimeout(moving);
    moving = setTimeout(() => table.classList.remove('moving'), REST);
  }

  const byName = (a, b) => {
    const [x, y] = [[a.dataset.group, a.dataset.name], [b.dataset.group, b.dataset.name]];
    return x < y ? -1 : x > y ? 1 : 0;
  };

  /* Put every row in its place; returns whether any has moved. */
  function arrange() {
    if (!table) return false;
    const key = keys[sort.value];
    const first = sort.value === 'trouble'
      ? (row) => (row.classList.contains('trouble') ? keys.state(row) : Infinity) : null;
    let moved = false;
    const by = (order) => (a, b) => {
      const [x, y] = order ? [order(a), order(b)] : [0, 0]; // the difference of two Infinities is NaN
      return x < y ? -1 : x > y ? 1 : byName(a, b);
    };
    const sorted = [...rows.values()].sort(by(key || first));
    if (reversed) sorted.reverse();
    let flat = $('tbody.flat', table);
    if ((key || first) && !flat) {
      flat = element('tbody', { class: 'flat' });
      $('thead', table).after(flat);
    }
    const groups = all('tbody[data-group]', table);
    const inOrder = [...groups].sort((a, b) => (a.dataset.group < b.dataset.group ? -1 : 1));
    if (!key && reversed) inOrder.reverse();
    if (inOrder.some((body, i) => body !== groups[i])) table.append(...inOrder);
    const next = new Map();
    for (const row of sorted) {
      const home = key || (first && row.classList.contains('trouble')) ? flat : $(`tbody[data-group="${CSS.escape(row.dataset.group)}"]`, table);
      const place = next.has(home) ? next.get(home) : $('tr.process', home);
      if (row === place) next.set(home, row.nextElementSibling);
      else { const focused = row.contains(document.activeElement) && document.activeElement;
        home.insertBefore(row, place);
        if (focused) focused.focus({ preventScroll: true });
        next.set(home, place);
        moved = true;
      }
    }
    if (!key && !first && flat) flat.remove();
    table.classList.toggle('sorted', Boolean(key));
    const words = filter.value.trim().toLowerCase();
    for (const row of rows.values()) {
      const hidden = !row.dataset.name.toLowerCase().includes(words) && !row.dataset.state.includes(words);
      if (row.hidden !== hidden) moved = true;
      row.hidden = hidden;
    }
    const shown = new Set(); // groups, wherever their processes are
    for (const row of rows.values()) if (!row.hidden) shown.add(row.dataset.group);
    for (const body of groups) body.hidden = Boolean(key) || !shown.has(body.dataset.group);
    const nothing = $('.nothing');
    $('q', nothing).textContent = filter.value.trim();
    nothing.hidden = shown.size > 0;
    table.hidden = !shown.size;
    for (const heading of all('thead [data-sort]', table)) {
      const descends = DESCENDING.includes(heading.dataset.sort) !== reversed;
      if (heading.dataset.sort !== sort.value) heading.removeAttribute('aria-sort');
      else heading.setAttribute('aria-sort', descends ? 'descending' : 'ascending');
    }
    markFilter();
    return moved;
  }

  function markFilter() {
    for (const link of all('.summary a')) {
      if (link.dataset.filter === filter.value) link.setAttribute('aria-current', 'true');
      else link.removeAttribute('aria-current');
    }
  }

  /* Charts */

  const WIDTH = 72, HEIGHT = 20;
  const SVG = 'http://www.w3.org/2000/svg';

  function draw(row) {
    const points = history.get(row.dataset.name) || [];
    const end = points.length ? points[points.length - 1][0] : 0;
    const floors = { cpu: [1, 10], memory: [2, 1] };
    for (const [name, [index, floor]] of Object.entries(floors)) {
      const place = $(`.${name} .chart`, row);
      if (points.length < 2) { place.replaceChildren(); continue; }
      const top = 1.1 * Math.max(floor, ...points.map((point) => point[index]));
      const line = points.map((point) => [
        (WIDTH * (1 - (end - point[0]) / span)).toFixed(1),
        (HEIGHT * (1 - point[index] / top)).toFixed(1),
      ].join(' '));
      const [first, last] = [line[0], line[line.length - 1]].map((at) => at.split(' ')[0]);
      let svg = place.firstChild;
      if (!svg) {
        svg = place.appendChild(document.createElementNS(SVG, 'svg'));
        svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
        svg.setAttribute('preserveAspectRatio', 'none');
        svg.setAttribute('width', '100%');
        svg.setAttribute('height', HEIGHT);
        svg.setAttribute('aria-hidden', 'true');
        svg.append(document.createElementNS(SVG, 'path'), document.createElementNS(SVG, 'path'));
        svg.firstChild.setAttribute('class', 'area');
      }
      svg.firstChild.setAttribute('d', `M${first} ${HEIGHT}L${line.join('L')}L${last} ${HEIGHT}Z`);
      svg.lastChild.setAttribute('d', `M${line.join('L')}`);
    }
  }

  function putFigures(row, [cpu, memory, ...texts]) {
    Object.assign(row.dataset, { cpu: cpu || 0, memory });
    ['cpu', 'memory'].forEach((name, i) => { $(`.${name} .value`, row).textContent = texts[i]; });
  }

  /* Only changed figures are sent, but charts have a point for each sample. */
  function addPoint(row, time) {
    const points = history.get(row.dataset.name) || [];
    points.push([time, Number(row.dataset.cpu), Number(row.dataset.memory)]);
    while (points[0][0] < time - span) points.shift();
    history.set(row.dataset.name, points);
    draw(row);
  }

  /* Uptimes */

  const lives = (row) => row.dataset.since !== '';
  const two = (number) => String(number).padStart(2, '0');
  const DAY = 24 * 60 * 60;

  function uptimeText(seconds) {
    const [hours, rest] = [Math.floor(seconds / 3600), seconds % 3600];
    if (seconds < DAY) return `${hours}:${two(Math.floor(rest / 60))}:${two(rest % 60)}`;
    return `${Math.floor(hours / 24)} d ${hours % 24} h`;
  }

  function showUptime(row) {
    if (!lives(row)) return;
    const now = performance.now() / 1000 + ahead;
    const text = uptimeText(Math.max(0, Math.floor(now - Number(row.dataset.since))));
    const place = $('.uptime .value', row);
    if (place.textContent !== text) place.textContent = text;
  }

  /* Messages of the daemon */

  listen(() => `live?since=${mark}`, {
    begin(data) {
      span = data.span;
      history.clear();
      for (const [name, changes] of Object.entries(data.points)) {
        const points = [];
        changes.forEach(([from, ...figures], i) => {
          const to = i + 1 < changes.length ? changes[i + 1][0] : data.times.length;
          if (figures[0] === null) return;
          for (let at = from; at < to; at += 1) points.push([data.times[at], ...figures]);
        });
        history.set(name, points);
      }
      leaving(data.leaving);
    },
    snapshot(data, id) {
      mark = id;
      token = data.token;
      for (const field of all('input[name=csrf]')) field.value = token;
      if (!table || !data.table) {
        if (Boolean(table) !== Boolean(data.table)) location.reload();
        return;
      }
      const open = all('tr.process:has(details.last[open])', table).map((row) => row.dataset.name);
      for (const body of all('tbody', table)) body.remove();
      table.append(fragment(data.table));
      rows.clear();
      for (const row of all('tr.process', table)) {
        adopt(row);
        if (open.includes(row.dataset.name)) { const last = $('.last', row); if (last) last.open = true; }
      }
      putSummary(data.summary);
      $('.events ol').innerHTML = data.events;
      arrange();
      rest();
      leaving(data.leaving);
    },
    changes(data, id) {
      mark = id;
      data.rows.forEach(putRow);
      for (const [group, html] of Object.entries(data.heads)) putHead(group, html);
      putSummary(data.summary);
      const list = $('.events ol');
      list.prepend(fragment(data.events));
      while (list.children.length > 200) list.lastElementChild.remove();
      settle();
      leaving(data.leaving);
    },
    usage(data) {
      for (const [name, figures] of Object.entries(data.rows)) {
        if (rows.has(name)) putFigures(rows.get(name), figures);
      }
      ahead = data.time - performance.now() / 1000;
      for (const row of rows.values()) if (lives(row)) { addPoint(row, data.time); showUptime(row); }
      if (keys[sort.value]) settle();
    },
  });

  /* Actions */

  function showBusy(row) {
    const is = (busy.get(row.dataset.name) || 0) > 0;
    row.setAttribute('aria-busy', is);
    enable(rowButtons, row.dataset.name);
  }

  /* The buttons of a process; of a group, or of all processes if the name is empty. */
  const rowButtons = (name) => (rows.has(name) ? all('button', rows.get(name)) : []);
  const headButtons = (name) => all(name
    ? `tr.group[data-group="${CSS.escape(name)}"] button` : '.everything button');

  /* Disable buttons for a moment after an action: a second click may be meant for the old state. */
  function enable(buttons, name) {
    const rests = (buttons === rowButtons && busy.get(name) > 0)
      || resting.get(buttons).get(name) > performance.now();
    for (const button of buttons(name)) button.disabled = rests;
  }

  function setResting(name, buttons) {
    resting.get(buttons).set(name, performance.now() + REST);
    enable(buttons, name);
    setTimeout(enable, REST + 1, buttons, name);
  }

  const resting = new Map([[rowButtons, new Map()], [headButtons, new Map()]]);

  function setBusy(names, by) {
    for (const name of names) {
      busy.set(name, (busy.get(name) || 0) + by);
      if (rows.has(name)) showBusy(rows.get(name));
    }
  }

  function targets(data) {
    if (data.has('processname')) return [data.get('processname')];
    if (data.get('action') === 'refresh') return [];
    const group = data.get('groupname');
    return [...rows.values()].filter((row) => !group || row.dataset.group === group)
      .map((row) => row.dataset.name);
  }

  // A page with a question instead of a result means that the token is stale, as after a restart.
  function refused(what, text) {
    const page = new DOMParser().parseFromString(text, 'text/html');
    const why = page.querySelector('p');
    if (page.querySelector('form') || !why) location.reload();
    else say(`${what}: ${why.textContent}`, true);
  }

  /* Send a form; returns the answer, or null after showing an error if there is none. */
  async function post(data, what) {
    try {
      const answer = await fetchHere('./', {
        method: 'POST', body: new URLSearchParams(data), headers: { Accept: 'application/json' },
      });
      if (answer.status === 403) refused(what, await answer.text());
      else if (answer.status === 401) location.reload();
      else if (!answer.ok) say(`${what}: refused (${answer.status} ${answer.statusText})`, true);
      else return await answer.json();
    } catch {
      say(`${what}: no answer from the daemon`, true);
    }
    return null;
  }

  async function carryOut(data, what) {
    const names = targets(data);
    setBusy(names, 1);
    say(`${what} …`);
    clearTimeout(messageTimer);
    const outcome = await post(data, what);
    if (outcome) say(outcome.message, outcome.failed);
    setBusy(names, -1);
    for (const name of names) setResting(name, rowButtons);
  }

  /* Forms of buttons with large effects ask by themselves; keys ask before any stop or restart. */
  async function submit(form, button, asks = false) {
    const data = new FormData(form, button);
    const what = button.getAttribute('aria-label');
    if (asks) data.set('confirm', 'ask');
    data.set('csrf', token || data.get('csrf'));
    if (data.has('confirm')) {
      const asked = await post(data, what);
      if (!asked || !await ask(asked.question, asked.button)) return;
    }
    if (!data.has('processname')) setResting(data.get('groupname') || '', headButtons);
    data.delete('confirm');
    carryOut(data, what);
  }

  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (form.method === 'get') { event.preventDefault(); arrange(); }
    if (form.method !== 'post') return;
    event.preventDefault();
    const menu = form.closest('.menu');
    if (menu) menu.open = false;
    submit(form, event.submitter);
  });

  function sortBy(key, other) {
    sort.value = key;
    reversed = other;
    arrange();
  }

  if (table) {
    $('thead', table).addEventListener('click', (event) => {
      const heading = event.target.closest('[data-sort]');
      if (!heading) return;
      event.preventDefault();
      const key = heading.dataset.sort;
      sortBy(key, key === sort.value && !reversed);
    });
    $('.nothing a').addEventListener('click', (event) => {
      event.preventDefault();
      filter.value = '';
      arrange();
    });
  }
  filter.addEventListener('input', arrange);
  sort.addEventListener('change', () => sortBy(sort.value, false));
  $('.summary').addEventListener('click', (event) => {
    const link = event.target.closest('a');
    if (!link) return;
    event.preventDefault();
    filter.value = filter.value === link.dataset.filter ? '' : link.dataset.filter;
    arrange();
  });
  $('.message a').addEventListener('click', (event) => { event.preventDefault(); say(''); });
  document.addEventListener('click', (event) => {
    for (const menu of all('.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
  });

  /* Keys */

  function move(by) {
    const shown = all('tr.process:not([hidden])', table);
    const at = shown.indexOf(document.activeElement.closest('tr.process'));
    const next = shown[at < 0 ? (by > 0 ? 0 : shown.length - 1) : at + by];
    if (next) next.focus();
  }

  const press = (selector) => () => {
    const row = document.activeElement.closest('tr.process');
    const target = row && $(selector, row);
    if (target) target.click();
  };

  const asking = (action) => () => {
    const row = document.activeElement.closest('tr.process');
    const button = row && $(`button[value=${action}]:enabled`, row);
    if (button) submit(button.form, button, true);
  };

  for (const row of all('tr.process')) adopt(row);
  arrange();
  setInterval(() => {
    const known = !document.body.classList.contains('gone'); // else the state of the process is not known
    if (known && !document.hidden) rows.forEach(showUptime);
  }, 1000);
  return {
    '/': () => { filter.focus(); filter.select(); },
    j: () => move(1),
    k: () => move(-1),
    s: press('button[value=start]'),
    x: asking('stop'),
    r: asking('restart'),
    l: press('.name a'),
    o: press('.last summary'),
    Escape: () => all('.menu[open]').forEach((menu) => { menu.open = false; }),
  };
}

/* The page of a log. Its rows are in chunks, each with the places before and after it: the chunks
   farthest from the reader are removed, and their rows are loaded again when they are needed. */

function logPage() {
  if ($('.found-lines')) return searchPage();
  const MOST_ROWS = 6000;
  const CHUNK = 300; // rows that come live
  const NEAR = 400; // pixels from an end at which more is loaded
  const box = $('main > .lines');
  if (!box) return {};
  const search = $('.search [type=search]');
  const here = new URL(location.href);
  let following = false, loading = false, at = null, live = null, detached = false;

  const button = (name) => $(`[data-do=${name}]`);
  const press = (name, is) => button(name).setAttribute('aria-pressed', is);
  const rowsOf = (within) => all('.line', within);
  const chunks = () => [...box.children];

  function address(fields) {
    const made = new URL('log.html', here);
    for (const name of ['processname', 'channel', 'output']) {
      if (here.searchParams.has(name)) made.searchParams.set(name, here.searchParams.get(name));
    }
    for (const [name, value] of Object.entries(fields)) made.searchParams.set(name, value);
    return made.href;
  }

  /* Highlighting of the rows that are loaded */

  function mark(row) {
    const words = search.value.toLowerCase();
    row.classList.toggle('hit', words !== '' && row.textContent.toLowerCase().includes(words));
  }

  function count() {
    const found = all('.hit', box);
    const place = at ? `${found.indexOf(at) + 1} of ` : '';
    $('.matches').textContent = search.value ? `${place}${found.length} shown` : '';
  }

  function jump(by) {
    const found = all('.hit', box);
    if (!found.length) return;
    if (at) at.classList.remove('at');
    const from = found.indexOf(at);
    at = found[from < 0 ? (by > 0 ? 0 : found.length - 1) : (from + by + found.length) % found.length];
    at.classList.add('at');
    follow(false);
    at.scrollIntoView({ block: 'center' });
    count();
  }

  /* Chunks */

  function chunk(nodes, { start, end, first, last }) {
    const made = element('div', { class: 'chunk' }, ...nodes);
    Object.assign(made.dataset, { start, end });
    if (first !== undefined) made.dataset.first = '';
    if (last !== undefined) made.dataset.last = '';
    rowsOf(made).forEach(mark);
    return made;
  }

  /* A heading for the day stands before the first row of each day, and at the top. */
  function joinDays(before, after) {
    const heading = after && after.firstElementChild;
    if (!heading || !heading.classList.contains('day')) return;
    const day = all('.day', before).pop();
    if (day && day.textContent === heading.textContent) heading.remove();
  }

  function dayOf(from) {
    for (let one = from; one; one = one.previousElementSibling) {
      const day = all('.day', one).pop();
      if (day) return day.cloneNode(true);
    }
    return null;
  }

  function removeFirst() {
    const [first, next] = chunks();
    const day = dayOf(first);
    if (day && !next.firstElementChild?.classList.contains('day')) next.prepend(day);
    first.remove();
    edges();
  }

  function removeLast() {
    chunks().pop().remove();
    detached = true;
    if (live) { live(); live = null; }
    follow(false);
    edges();
  }

  function trim(removeOne) {
    while (box.childElementCount > 1 && rowsOf(box).length > MOST_ROWS) removeOne();
    if (at && !at.isConnected) at = null;
    count();
  }

  /* The links above and below, as the server makes them for these rows. */
  function edges() {
    const [first] = chunks();
    const last = chunks().pop();
    const above = $('main > .edge');
    const link = (kind, title, fields) => element('a', { class: `button ${kind}`, href: address(fields) }, title);
    above.classList.toggle('first', first.dataset.first !== undefined);
    above.replaceChildren(...(first.dataset.first !== undefined
      ? ['This is the first line that is kept']
      : [link('earlier', 'Earlier lines', { before: first.dataset.start }), link('oldest', 'Oldest', { after: 'start' })]));
    const below = all('main > .edge').pop();
    below.hidden = last.dataset.last !== undefined && !detached;
    below.replaceChildren(link('later', 'Later lines', { after: last.dataset.end }), link('newest', 'Newest', {}));
  }

  async function load(fields) {
    loading = true;
    box.setAttribute('aria-busy', 'true');
    try {
      const answer = await fetchHere(address(fields));
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const note = page.querySelector('main > .note');
      if (note) $('.edge').before(document.adoptNode(note));
      const found = page.querySelector('main > .lines');
      return found && !page.querySelector('main > .note') ? found : null;
    } catch {
      return null;
    } finally {
      box.removeAttribute('aria-busy');
      loading = false;
    }
  }

  const rows = (found) => [...found.children].filter((one) => !one.matches('.empty')).map((one) => document.adoptNode(one));

  async function earlier() {
    const [first] = chunks();
    if (loading || first.dataset.first !== undefined) return;
    follow(false);
    const found = await load({ before: first.dataset.start });
    if (!found || !first.isConnected) return;
    const height = box.scrollHeight - box.scrollTop;
    const made = chunk(rows(found), found.dataset);
    first.before(made);
    joinDays(made, first);
    box.scrollTop = box.scrollHeight - height;
    edges();
    trim(removeLast);
  }

  async function later(shows) {
    const last = chunks().pop();
    if (loading || (last.dataset.last !== undefined && !detached)) return;
    const found = await load({ after: last.dataset.end });
    if (!found || !last.isConnected) return;
    const made = chunk(rows(found), found.dataset);
    last.after(made);
    joinDays(last, made);
    const height = box.scrollHeight - box.scrollTop;
    trim(removeFirst);
    box.scrollTop = box.scrollHeight - height;
    if (shows) made.scrollIntoView();
    if (made.dataset.last !== undefined) { detached = false; begin(found.dataset); }
    edges();
  }

  /* Rows that come live */

  function append(html, before) {
    const template = document.createElement('template');
    template.innerHTML = html;
    let last = chunks().pop();
    const open = new Map(all('[data-part]', last).map((row) => [row.dataset.at, row]));
    for (const row of rowsOf(template.content)) {
      mark(row);
      const shown = open.get(row.dataset.at);
      if (shown) shown.replaceWith(row);
    }
    if (!all('.line', template.content).length) template.content.replaceChildren();
    if (last.childElementCount > CHUNK) {
      last.dataset.end = before;
      delete last.dataset.last;
      last.after(chunk([], { start: before, end: before, last: '' }));
      last = last.nextElementSibling;
    }
    const heading = template.content.firstElementChild;
    const day = dayOf(last);
    if (heading && day && heading.textContent === day.textContent) heading.remove();
    last.append(template.content);
    const height = box.scrollHeight - box.scrollTop;
    if (following || rowsOf(box).length > 2 * MOST_ROWS) trim(removeFirst);
    if (following) box.scrollTop = box.scrollHeight;
    else box.scrollTop = box.scrollHeight - height;
    count();
  }

  function begin({ live: from, after }) {
    let place = after;
    live = listen(() => `${from}&after=${encodeURIComponent(place)}`, {
      rows(data, id) {
        append(data.html, place);
        place = chunks().pop().dataset.end = id;
      },
      start(data, id) {
        box.replaceChildren(chunk([], { start: data.before, end: id, last: '', ...(data.first ? { first: '' } : {}) }));
        append(data.html, id);
        place = id;
        edges();
        if (following) box.scrollTop = box.scrollHeight;
      },
    });
  }

  function follow(is) {
    following = is && !detached;
    press('follow', following);
    if (is && (detached || !live)) { location.assign(address({})); return; }
    if (is) box.scrollTop = box.scrollHeight;
  }

  function wrap(is) {
    box.classList.toggle('wrap', is);
    press('wrap', is);
    store('wrap', is ? 'yes' : '');
  }

  box.addEventListener('scroll', () => {
    const atEnd = box.scrollTop + box.clientHeight >= box.scrollHeight - 8;
    if (live && !loading && atEnd !== following && !(atEnd && search.value)) follow(atEnd); // while searching, scrolling does not change it
    if (box.scrollTop < NEAR) earlier();
    if (!live && box.scrollTop + box.clientHeight > box.scrollHeight - NEAR) later(false);
  }, { passive: true });
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a.earlier, a.later');
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      if (link.matches('.earlier')) earlier(); else later(true);
    }
    const pressed = event.target.closest('[data-do]');
    if (pressed && toggles[pressed.dataset.do]) toggles[pressed.dataset.do]();
  });
  search.addEventListener('input', () => {
    if (at) at.classList.remove('at');
    at = null;
    rowsOf(box).forEach(mark);
    count();
    const found = all('.hit', box);
    if (found.length) { follow(false); found[found.length - 1].scrollIntoView({ block: 'center' }); }
  });

  const toggles = { follow: () => follow(!following), wrap: () => wrap(!box.classList.contains('wrap')) };
  const shown = box.dataset;
  box.replaceChildren(chunk([...box.children].filter((one) => !one.matches('.empty')), shown));
  edges();
  wrap(stored('wrap') === 'yes');
  if (shown.live) { begin(shown); follow(true); }
  else {
    for (const sign of all('.live')) sign.hidden = true;
    const found = $('.found', box);
    if (found) found.scrollIntoView({ block: 'center' });
  }
  return {
    '/': () => { search.focus(); search.select(); },
    n: () => jump(1),
    N: () => jump(-1),
    e: earlier,
    f: toggles.follow,
    w: toggles.wrap,
  };
}

/* A search goes on by itself until enough is found, or the reader stops it. */

function searchPage() {
  const ENOUGH = 100;
  const list = $('.found-lines');
  const search = $('.search [type=search]');
  const stop = element('button', { type: 'button', class: 'stop' }, 'Stop');
  let running = null;
  for (const sign of all('.live')) sign.hidden = true;

  function show(progress, bar) {
    const found = $('.count', progress);
    if (found) found.textContent = String(all('li:not(.none)', list).length);
    $('.progress').replaceWith(progress);
    $('.searched').replaceWith(bar);
  }

  async function run() {
    const enough = list.childElementCount + ENOUGH;
    running = new AbortController();
    let link;
    while (running && (link = $('a.further')) && list.childElementCount < enough) {
      link.hidden = true;
      link.after(stop);
      try {
        const answer = await fetchHere(link.getAttribute('href'), { signal: running.signal });
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const progress = page.querySelector('.progress');
        if (!progress) break;
        const found = page.querySelectorAll('.found-lines > li:not(.none)');
        list.append(...found);
        if (!list.childElementCount) list.append(...page.querySelectorAll('.none'));
        show(document.adoptNode(progress), document.adoptNode(page.querySelector('.searched')));
      } catch {
        break;
      }
    }
    running = null;
    stop.remove();
    const left = $('a.further');
    if (left) left.hidden = false;
  }

  stop.addEventListener('click', () => { if (running) { running.abort(); running = null; } });
  document.addEventListener('click', (event) => {
    if (!event.target.closest('a.further') || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    if (!running) run();
  });
  run();
  return { '/': () => { search.focus(); search.select(); } };
}

/* The page of a daemon that is shutting down: reloads when it is back */

function gonePage() {
  setInterval(async () => {
    try { if ((await fetchHere('ok.html')).ok && (await fetchHere('./')).ok) location.reload(); } catch { /* not yet */ }
  }, 2000);
  return {};
}

const PAGES = { status: statusPage, log: logPage, gone: gonePage };

document.addEventListener('DOMContentLoaded', () => {
  document.body.classList.add('scripted');
  for (const tools of all('.tools')) tools.hidden = false;
  const help = $('dialog.help');
  const shared = { t: changeTheme, '?': () => help && help.showModal() };
  const page = PAGES[document.body.dataset.page];
  const keys = { ...shared, ...(page ? page() : {}) };
  const buttons = { theme: shared.t, help: shared['?'] };
  document.addEventListener('click', (event) => {
    const button = event.target.closest('[data-do]');
    if (button && buttons[button.dataset.do]) buttons[button.dataset.do]();
  });
  document.addEventListener('keydown', (event) => {
    const typing = event.target.matches('input, select, textarea');
    if (typing && event.key === 'Escape') {
      event.target.value = '';
      event.target.dispatchEvent(new Event('input', { bubbles: true }));
      event.target.blur();
    }
    if (typing || event.ctrlKey || event.metaKey || event.altKey || $('dialog[open]')) return;
    if (keys[event.key]) { event.preventDefault(); keys[event.key](); }
  });
});

})();
