/**
 * The text of the object under `name` in the outermost object of a JSON text; `undefined` where
 * there is none.
 */
export function rawObject(text: string, name: string): string | undefined {
  let depth = 0;
  let key = '';
  let start = -1;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '"') {
      const from = at;
      for (at += 1; text.charAt(at) !== '"'; at += 1) if (text.charAt(at) === '\\') at += 1;
      if (depth === 1) key = text.slice(from + 1, at);
    } else if (char === '{' || char === '[') {
      depth += 1;
      if (depth === 2 && key === name) start = at;
    } else if (char === '}' || char === ']') {
      depth -= 1;
      if (depth === 1 && start >= 0) return text.slice(start, at + 1);
    }
  }
  return undefined;
}

/**
 * The texts of the items of the list under `name` in the outermost object of a JSON text: a number
 * that `JSON.parse` reads may have lost digits.
 */
export function rawItems(text: string, name: string): string[] {
  const items: string[] = [];
  /** The depth: 1 in the object itself, 2 in one of its lists or objects, and so on. */
  let depth = 0;
  /** The last string at depth 1: before a colon it is a key. */
  let key = '';
  let isInList = false;
  let start = -1;
  const end = (at: number): void => {
    if (start >= 0) items.push(text.slice(start, at).trimEnd());
    start = -1;
  };
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (isInList && depth === 2 && start < 0 && !/[\s,\]]/.test(char)) start = at;
    if (char === '"') {
      const from = at;
      for (at += 1; text.charAt(at) !== '"'; at += 1) if (text.charAt(at) === '\\') at += 1;
      if (depth === 1) key = text.slice(from + 1, at);
    } else if (char === '{' || char === '[') {
      depth += 1;
      if (depth === 2) isInList = char === '[' && key === name;
    } else if (char === '}' || char === ']') {
      if (depth === 2 && isInList) {
        end(at);
        return items;
      }
      depth -= 1;
    } else if (char === ',' && isInList && depth === 2) {
      end(at);
    }
  }
  return items;
}
