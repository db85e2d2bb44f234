// Waiting for what comes soon after an answer: a log line, a file that goes.

/** What `find` gives as soon as it gives something, within two seconds. */
export async function eventually<Found>(
  find: () => Found | undefined | Promise<Found | undefined>,
): Promise<Found | undefined> {
  for (let attempt = 0; attempt < 400; attempt += 1) {
    const found = await find();
    if (found !== undefined) return found;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return await find();
}
