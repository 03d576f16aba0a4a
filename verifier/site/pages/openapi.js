// An OpenAPI document as a list that can be shown, and a parameter's schema in words.
//
// Pure: no document, no network. Reads what our own generator writes, not everything that OpenAPI has.

// [{id, method, path, summary, parameters, body, answers, problems, text}]: HEAD stands with its GET. `text` is what a search looks into.
export function operations({ paths }) {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).filter(([method]) => method !== "head").map(([method, operation]) => one(path, method, operation)),
  );
}

function one(path, method, { summary, parameters, requestBody, responses }) {
  const body = requestBody && Object.entries(requestBody.content).map(([mediaType, { schema }]) => ({
    mediaType, schema, description: requestBody.description,
  }))[0];
  const answers = Object.entries(responses[200].content ?? {}).map(([mediaType, { schema }]) => ({ mediaType, schema }));
  const problems = Object.entries(responses).filter(([status]) => Number(status) >= 400).map(([status, { content }]) => ({
    status, codes: content["application/problem+json"].schema.allOf[1].properties.code.enum,
  }));
  const codes = problems.flatMap((problem) => problem.codes);
  const names = parameters.map(({ name }) => name);
  const text = [method, path, summary, ...names, ...answers.map(({ mediaType }) => mediaType), ...codes].join(" ").toLowerCase();
  return { id: `${method}-${path}`, method, path, summary, parameters, body: body ?? null, answers, problems, text };
}

// The path and query that the values make: [[parameter, text], …]; null where one that is needed is empty.
export function address(path, values) {
  let made = path;
  const query = new URLSearchParams();
  for (const [{ name, in: place, required }, value] of values) {
    if (value === "" && required) return null;
    if (place === "path") made = made.replace(`{${name}}`, encodeURIComponent(value));
    else if (value !== "") query.set(name, value);
  }
  const asked = query.toString();
  return asked === "" ? made : `${made}?${asked}`;
}

// What a parameter may be, in words.
export function limits(schema, schemas) {
  const { $ref, description, type, format, minimum, maximum, maxLength, pattern } = schema;
  if ($ref !== undefined) return limits(schemas[$ref.split("/").at(-1)], schemas);
  if (description !== undefined) return description;
  if (schema.enum !== undefined) return schema.enum.filter((value) => value !== "").join(", ");
  if (schema.anyOf !== undefined) return limits(schema.anyOf[0], schemas);
  if (format === "date-time") return "a time (RFC 3339)";
  if (type === "integer") return maximum < 1e9 ? `a number from ${minimum} to ${maximum}` : `a number from ${minimum}`;
  if (pattern !== undefined) return `a text that matches ${pattern}`;
  return maxLength === undefined ? "a text" : `a text of at most ${maxLength} characters`;
}
