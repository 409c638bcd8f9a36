package goridge

// crcTable is the table of CRC-32 with the IEEE polynomial (reversed form
// 0xEDB88320), the checksum of zlib and of PHP's crc32().
var crcTable = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i)
		for range 8 {
			c = c>>1 ^ 0xEDB88320&-(c&1)
		}
		t[i] = c
	}
	return t
}()

// checksum is the CRC-32 of b, which is always six bytes. hash/crc32 chooses
// its implementation through a function variable, so that its argument escapes
// to the heap, and for six bytes the plain loop takes half the time.
func checksum(b []byte) uint32 {
	c := ^uint32(0)
	for _, x := range b {
		c = crcTable[byte(c)^x] ^ c>>8
	}
	return ^c
}
