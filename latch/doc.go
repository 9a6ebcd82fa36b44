// Package latch has the rooms of wait groups and of onces, pure: what opens, and what is
// then open for everybody. It is no client API; see package client for that.
//
// A wait group counts what sessions have added and not yet settled. A session's share of
// it is its balance, so that the end of a session can return what nobody will settle any
// more: then the group is cut (SEMANTICS E4). A once has a runner, which is an exclusive
// hold, and then a result, which stays (E5). The rooms say whether a waiter can proceed now
// (Ready, asked only when nobody stands ahead of it) and see no queue and no time. Who
// must be woken when a counter is at zero or a once is done is package machine's business.
//
// Of wait groups:
//
//  1. A balance is positive, and a group's counter is the sum of its balances. There is one
//     balance a session and group, and no two of a group have the same order.
//  2. A group at zero is not in the room, unless it is cut. A cut group stays until an Add
//     at zero, which begins a new round, or Delete.
//  3. A group has no holds: a Wait takes nothing.
//
// Of onces:
//
//  1. A once has a runner, or a result, or it is not in the room.
//  2. A result never changes. It stays until Delete.
//  3. Who runs is derived from the holds, which package session keeps.
package latch
