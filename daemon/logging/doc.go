// Package logging makes the daemon's slog.Logger after RoadRunner's section
// `logs`: the modes development, production, raw and none, one channel per
// part of the server, files with rotation. Under systemd it writes to the
// journal natively instead, with fields (journal.go says which).
//
// The attribute logkey.Logger selects the channel. It costs least when it is
// bound once with Logger.With. Attributes of groups are flattened to
// "group.key".
package logging
