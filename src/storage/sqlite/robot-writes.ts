// The intentions that change robots. Each runs in one transaction of the writer.
import type { RobotStore } from '../account-store.ts';
import type { AccessSteps, Answer, Input } from './access-steps.ts';
import { type RobotRow, robotColumns, toRobot } from './account-rows.ts';
import { type Connection, prepareAll, type Statement } from './connection.ts';
import type { Now } from './now.ts';

export const sql = {
  robotByName: `SELECT ${robotColumns} FROM subject s JOIN namespace n ON n.id = s.namespace_id
    WHERE s.name = ? AND s.kind = 'robot'`,
  addRobot: `INSERT INTO subject (kind, name, namespace_id, description, created_at) VALUES ('robot', ?, ?, ?, ?)`,
  updateRobot: 'UPDATE subject SET description = ?, disabled_at = ? WHERE id = ?',
  dropRobot: 'DELETE FROM subject WHERE id = ?',
} as const;

/** The intentions on robots over one connection. */
export class RobotWrites {
  readonly #statements: Readonly<Record<keyof typeof sql, Statement>>;
  readonly #steps: AccessSteps;

  constructor(db: Connection, steps: AccessSteps) {
    this.#steps = steps;
    this.#statements = prepareAll(db, sql);
  }

  addRobot(now: Now, input: Input<RobotStore['add']>): Answer<RobotStore['add']> {
    const namespace = this.#steps.findNamespace(input.namespace);
    if (namespace === undefined) return { outcome: 'unknown' };
    const name = `${input.namespace}+${input.name}`;
    if (this.#steps.isTaken(name)) return { outcome: 'exists' };
    this.#statements.addRobot.run(name, namespace.id, input.description, now.at);
    this.#steps.movePolicy();
    const robot = this.#find(name);
    if (robot === undefined) throw new Error(`${name} is not there although it was just written`);
    this.#steps.events.addChange(now, input.origin, {
      action: 'robot.add',
      object: `robot:${name}`,
      namespace: input.namespace,
      after: { description: input.description },
    });
    return { outcome: 'added', robot: toRobot(robot) };
  }

  updateRobot(now: Now, input: Input<RobotStore['update']>): Answer<RobotStore['update']> {
    const { name, changes, origin } = input;
    const robot = this.#find(name);
    if (robot === undefined) return undefined;
    const before = { enabled: robot.disabledAt === null, description: robot.description };
    const after = { ...before, ...changes };
    const enabledMoves = after.enabled !== before.enabled;
    if (!enabledMoves && after.description === before.description) return toRobot(robot);
    const disabledAt = enabledMoves ? (after.enabled ? null : now.at) : robot.disabledAt;
    this.#statements.updateRobot.run(after.description, disabledAt, robot.id);
    if (enabledMoves) this.#steps.movePolicy();
    this.#steps.events.addChange(now, origin, {
      action: 'robot.update',
      object: `robot:${name}`,
      namespace: robot.namespace,
      before,
      after,
    });
    return toRobot({ ...robot, description: after.description, disabledAt });
  }

  removeRobot(now: Now, input: Input<RobotStore['remove']>): boolean {
    const robot = this.#find(input.name);
    if (robot === undefined) return false;
    this.#steps.dropCredentials(robot);
    this.#statements.dropRobot.run(robot.id);
    this.#steps.movePolicy();
    this.#steps.events.addChange(now, input.origin, {
      action: 'robot.remove',
      object: `robot:${robot.name}`,
      namespace: robot.namespace,
      before: { description: robot.description },
    });
    return true;
  }

  #find(name: string): RobotRow | undefined {
    return this.#statements.robotByName.get(name) as RobotRow | undefined;
  }
}
