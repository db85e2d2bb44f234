// Numbers of rows that people name, and may still name when the row is gone: none is given twice.

/** The id of the next row, as an expression. Triggers of the table note the highest id that went (migrations/0009_numbers.sql). */
export function nextNumber(table: 'repository' | 'tag_history'): string {
  return `(SELECT max(coalesce((SELECT max(id) FROM ${table}), 0),
    coalesce((SELECT CAST(value AS INTEGER) FROM instance WHERE key = 'last_${table}_id'), 0)) + 1)`;
}
