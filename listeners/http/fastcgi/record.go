package fastcgi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// recordType is the second byte of a record.
type recordType uint8

const (
	typeBeginRequest    recordType = 1
	typeAbortRequest    recordType = 2
	typeEndRequest      recordType = 3
	typeParams          recordType = 4
	typeStdin           recordType = 5
	typeStdout          recordType = 6
	typeStderr          recordType = 7
	typeData            recordType = 8
	typeGetValues       recordType = 9
	typeGetValuesResult recordType = 10
	typeUnknownType     recordType = 11
)

const (
	version1   = 1
	headerSize = 8
	// maxContent is the largest content of a record that we send: a whole number
	// of 8 bytes, so that no padding is needed.
	maxContent = 65535 &^ 7

	roleResponder = 1
	flagKeepConn  = 1
)

// Protocol status of an end of request.
const (
	requestComplete = 0
	cannotMultiplex = 1
	unknownRole     = 3
)

// errVersion ends a connection: what follows cannot be told apart.
var errVersion = errors.New("not a FastCGI record")

// header is what a record begins with (FastCGI specification 1.0, 3.3):
//
//	byte     0        1       2 3          4 5             6              7
//	      version   type   request id  content length  padding length  reserved
type header struct {
	kind    recordType
	id      uint16
	length  int
	padding int
}

func readHeader(r io.Reader) (header, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return header{}, err
	}
	if b[0] != version1 {
		return header{}, fmt.Errorf("%w: version %d", errVersion, b[0])
	}
	return header{
		kind:    recordType(b[1]),
		id:      binary.BigEndian.Uint16(b[2:]),
		length:  int(binary.BigEndian.Uint16(b[4:])),
		padding: int(b[6]),
	}, nil
}

func appendHeader(dst []byte, kind recordType, id uint16, length int) []byte {
	dst = append(dst, version1, byte(kind))
	dst = binary.BigEndian.AppendUint16(dst, id)
	dst = binary.BigEndian.AppendUint16(dst, uint16(length))
	return append(dst, 0, 0)
}

func appendEndRequest(dst []byte, id uint16, status byte) []byte {
	dst = appendHeader(dst, typeEndRequest, id, 8)
	return append(dst, 0, 0, 0, 0, status, 0, 0, 0) // the application's exit code is 0
}
