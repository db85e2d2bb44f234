// The settings as a JSON Schema, with which editors complete and check berth.yaml.
import { isSetting, type Section, type Setting } from './settings.ts';

/** The schema (draft 7, which editors know) of a file with these settings. Every setting may be left out or left empty. */
export function jsonSchemaOf(settings: Section): Record<string, unknown> {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'berth.yaml',
    description: 'The configuration of Berth. Every setting may be left out.',
    ...sectionSchema(settings),
  };
}

function sectionSchema(section: Section): Record<string, unknown> {
  const properties = Object.fromEntries(
    Object.entries(section).map(([name, node]) => [
      name,
      isSetting(node) ? settingSchema(node) : sectionSchema(node),
    ]),
  );
  return { type: ['object', 'null'], additionalProperties: false, properties };
}

function settingSchema({ kind, fallback, about, reload }: Setting<unknown>): Record<string, unknown> {
  const { type, enum: words, anyOf, ...rest } = kind.schema;
  return {
    description: `${about} Allowed: ${kind.allowed}.${reload ? ' Taken over on SIGHUP.' : ''}`,
    ...(type === undefined ? {} : { type: [type, 'null'] }),
    ...(words === undefined ? {} : { enum: [...(words as readonly unknown[]), null] }),
    ...(anyOf === undefined ? {} : { anyOf: [...(anyOf as readonly unknown[]), { type: 'null' }] }),
    ...rest,
    ...(fallback === undefined ? {} : { default: fallback }),
  };
}
