// The state of a page lives in its URL, so that a link opens the same again.

/** Return the parameters of the page. */
export const parameters = () => new URLSearchParams(location.search);

/** Return one parameter, or a default. */
export const parameter = (name, otherwise = "") => parameters().get(name) ?? otherwise;

/** Return all values of a parameter. */
export const values = (name) => parameters().getAll(name);

/** Return a path with parameters; empty ones are left out, and a list gives several. */
export function address(path, given = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(given)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== "" && one !== null && one !== undefined && one !== false) query.append(name, String(one));
    }
  }
  const text = query.toString();
  return text ? `${path}?${text}` : path;
}

/** Change parameters of the page, and keep the others. */
export function change(changes, { replace = false } = {}) {
  const given = {};
  for (const name of new Set([...parameters().keys(), ...Object.keys(changes)])) {
    given[name] = name in changes ? changes[name] : values(name);
  }
  const to = address(location.pathname, given);
  if (to === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", to);
}

/** Call a function when the user goes back or forward. */
export const onReturn = (call) => addEventListener("popstate", call);
