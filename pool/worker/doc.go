// Package worker is one worker process: how it is started, spoken to the first
// time, watched and stopped. It knows neither queues nor policies; package pool
// decides when a worker starts and why it ends.
package worker
