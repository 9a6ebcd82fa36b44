// Package enginetest is the suite that every raftstore.Engine passes.
//
// It drives real nodes through a raftstore.Log each and holds what their machines saw
// against what the callers were told:
//
//  1. All machines see the same commands in the same order, a later one never fewer.
//  2. A command that succeeded is there once, at the place its result says. One that
//     was refused (ErrNotLeader, ErrOverloaded, ErrClosed) is nowhere. One whose outcome
//     was unknown is there once or nowhere.
//  3. When a node says that it leads, its machine has all that had succeeded by then.
//  4. The increments never add up to more than the time that passed.
//
// An Engine gives it a Cluster; Run does the rest.
package enginetest
