<?php

declare(strict_types=1);

namespace RR\Rpc;

use RR\Frame;
use RR\ProtocolException;
use RR\Relay;
use RR\RelayException;

/**
 * Calls the server's methods:
 *
 *     $rpc = new RR\Rpc\Client();             // address from RR_RPC
 *     $rpc->call('informer.Workers', 'http');
 *
 * The connection is made by the first call, kept, and made again after it
 * broke. A call that was sent is never repeated: nobody knows whether it has
 * been executed.
 */
final class Client
{
    private ?Relay $relay = null;

    private int $sequence = 0;

    private readonly string $address;

    /**
     * @param string|null $address tcp://host:port or unix://path; default RR_RPC,
     *        else tcp://127.0.0.1:6001
     * @param int $codec of arguments and results: Frame::JSON (default), MSGPACK,
     *        or RAW and PROTO, where both are strings that you encode yourself
     * @param float $timeout seconds to wait for an answer, 0 = for ever
     * @param float $connect seconds to wait for the connection
     */
    public function __construct(
        ?string $address = null,
        private readonly int $codec = Frame::JSON,
        private readonly float $timeout = 30.0,
        private readonly float $connect = 5.0,
    ) {
        $address ??= (string) getenv('RR_RPC');
        $this->address = match (true) {
            $address === '' => 'tcp://127.0.0.1:6001',
            // "All addresses" of the server's configuration.
            str_starts_with($address, 'tcp://:') => 'tcp://127.0.0.1' . substr($address, 6),
            default => $address,
        };
    }

    /**
     * @param string $method service.Method, e.g. informer.List
     * @param int|null $codec another codec for this call
     *
     * @throws ServiceException the method failed
     * @throws RelayException the server cannot be reached or does not answer in time
     * @throws ProtocolException the answer makes no sense
     */
    public function call(string $method, mixed $argument = true, ?int $codec = null): mixed
    {
        $codec ??= $this->codec;
        $payload = $method . self::encode($argument, $codec);
        $relay = $this->relay();
        try {
            $sequence = $this->sequence = ($this->sequence + 1) & 0xFFFFFFFF;
            $relay->write(Frame::encode($payload, $codec, 0, [$sequence, strlen($method)]));
            [$flags, $answer] = $this->receive($relay, $sequence);
        } catch (RelayException | ProtocolException $e) {
            $this->close();
            throw new $e("$method failed: {$e->getMessage()}", 0, $e);
        }
        if ($flags & Frame::ERROR) {
            throw new ServiceException($method, $answer);
        }

        return self::decode($answer, $codec);
    }

    public function close(): void
    {
        $this->relay?->close();
        $this->relay = null;
    }

    private function relay(): Relay
    {
        // Nothing may arrive between two calls but the end of the connection.
        if ($this->relay !== null && $this->relay->ready()) {
            $this->close();
        }

        return $this->relay ??= Relay::connect($this->address, $this->connect, $this->timeout);
    }

    /** @return array{int, string} flags, result */
    private function receive(Relay $relay, int $sequence): array
    {
        $bytes = $this->atLeast($relay, '', Frame::HEADER);
        ['head' => $head, 'flags' => $flags, 'length' => $length] = Frame::parse($bytes);
        $bytes = $this->atLeast($relay, $bytes, $head + $length);
        $options = Frame::options($bytes, $head);
        if (count($options) !== 2 || $options[1] > $length || strlen($bytes) !== $head + $length) {
            throw new ProtocolException('the answer is no RPC frame');
        }
        if ($options[0] !== $sequence) {
            throw new ProtocolException("the answer has number $options[0], expected $sequence");
        }

        return [$flags, substr($bytes, $head + $options[1])];
    }

    private function atLeast(Relay $relay, string $bytes, int $length): string
    {
        while (($missing = $length - strlen($bytes)) > 0) {
            $more = $relay->read(max(Relay::CHUNK, min($missing, 1 << 20)));
            if ($more === '') {
                throw new RelayException("$this->address closed the connection before the answer; the call may have been executed");
            }
            $bytes .= $more;
        }

        return $bytes;
    }

    private static function encode(mixed $value, int $codec): string
    {
        if ($codec === Frame::JSON) {
            return json_encode($value, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION);
        }
        if ($codec === Frame::MSGPACK) {
            self::needMsgpack();

            return msgpack_pack($value);
        }
        if ($codec !== Frame::RAW && $codec !== Frame::PROTO) {
            throw new \InvalidArgumentException("unknown RPC codec $codec: want Frame::JSON, RAW, MSGPACK or PROTO");
        }
        if (!is_string($value)) {
            throw new \InvalidArgumentException('with the codecs RAW and PROTO the argument is a string, not ' . get_debug_type($value));
        }

        return $value;
    }

    private static function decode(string $bytes, int $codec): mixed
    {
        if ($codec === Frame::JSON) {
            return json_decode($bytes, true, 512, JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
        }
        if ($codec === Frame::MSGPACK) {
            self::needMsgpack();

            return msgpack_unpack($bytes);
        }

        return $bytes;
    }

    private static function needMsgpack(): void
    {
        if (!function_exists('msgpack_pack')) {
            throw new \LogicException('the msgpack codec needs the PHP extension msgpack');
        }
    }
}
