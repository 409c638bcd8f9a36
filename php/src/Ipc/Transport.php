<?php

declare(strict_types=1);

namespace RR\Ipc;

/**
 * Frames between this worker and its server, one exchange at a time. RR\Worker
 * stands on it and knows nothing of pipes, sockets and shared memory.
 *
 *     FrameStream     frames over a stream: any server, any relay
 *     SharedMemory    the same, and large bodies through a segment of memory
 *     Slots           control page of the extension rr.so, the rest as SharedMemory
 *
 * Connection::open() chooses. The extension takes over in one more place:
 * RR\Http\Codec, which decodes the request's context and encodes the response's.
 *
 * A frame is a list and not an object, because it is made for every request.
 *
 * @internal
 */
interface Transport
{
    /**
     * What the answer to the pid request names in "accepts".
     *
     * @return list<string>
     */
    public function abilities(): array;

    /**
     * The next frame of the server, with the whole of its body; waits for it.
     *
     * @return array{int, int, string, string}|null flags, stream bits (without
     *         Frame::SHM), context, body; null when the server has closed the
     *         channel between two frames
     *
     * @throws \RR\ProtocolException
     * @throws \RR\RelayException
     */
    public function receive(): ?array;

    /** Whether receive() would return at once. */
    public function ready(): bool;

    /**
     * Sends a result: the answer or, with Frame::STREAM in $stream, a part of it.
     *
     * @throws \RR\RelayException
     */
    public function send(string $context, string $body, int $flags, int $stream): void;

    /**
     * Sends a frame that is no result: $flags is Frame::CONTROL or Frame::ERROR.
     *
     * @throws \RR\RelayException
     */
    public function sendText(string $text, int $flags): void;

    /**
     * Asks for the next part, at most $most bytes, of a body that arrives while
     * it is worked on. It comes as a frame with Frame::BODY.
     *
     * @throws \RR\RelayException
     */
    public function ask(int $most): void;
}
