package enrich

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/netip"

	"github.com/duckdb/duckdb-go/v2"
)

// Register gives a database of [dataset.OpenDuckDB] the look-up:
//
//	SELECT target, asn, as_name, country
//	FROM hosts LEFT JOIN known_networks ON known_networks.network = network(target)
//
// The function network makes of an address as text the number of its network, NULL when nothing is known
// of it. What is known is in the temporary table known_networks: network, asn, as_name, country, the
// latter three NULL when not known. (Through duckdb-go a function that returns text or a struct takes more
// time than this join.) The order of rows after a join is DuckDB's choice.
func (n *Networks) Register(ctx context.Context, db *sql.DB) (err error) {
	if n == nil {
		n = Merge(nil)
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := duckdb.RegisterScalarUDF(conn, "network", &networkFunction{n}); err != nil {
		return fmt.Errorf("SQL function network: %w", err)
	}
	if _, err := conn.ExecContext(ctx, `CREATE OR REPLACE TEMP TABLE known_networks
		(network UINTEGER, asn UINTEGER, as_name VARCHAR, country VARCHAR)`); err != nil {
		return err
	}
	return appendRows(conn, "known_networks", func(add func(...driver.Value) error) error {
		for i, known := range n.known[1:] {
			if err := add(uint32(i+1), asnValue(known), textValue(known.ASName), textValue(known.Country)); err != nil {
				return err
			}
		}
		return nil
	})
}

// asnValue and textValue are NULL when nothing is known.
func asnValue(n Network) driver.Value {
	if n.ASN == 0 {
		return nil
	}
	return n.ASN
}

func textValue(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

// appendRows appends what rows adds to a table of the connection.
func appendRows(conn *sql.Conn, table string, rows func(add func(...driver.Value) error) error) error {
	return conn.Raw(func(driverConn any) error {
		a, err := duckdb.NewAppenderFromConn(driverConn.(driver.Conn), "", table)
		if err != nil {
			return err
		}
		return errors.Join(rows(a.AppendRow), a.Close())
	})
}

// networkFunction is the SQL function network: NULL in, NULL out.
type networkFunction struct{ networks *Networks }

func (*networkFunction) Config() duckdb.ScalarFuncConfig {
	return duckdb.ScalarFuncConfig{
		InputTypeInfos: []duckdb.TypeInfo{typeInfo(duckdb.TYPE_VARCHAR)},
		ResultTypeInfo: typeInfo(duckdb.TYPE_UINTEGER),
	}
}

func (f *networkFunction) Executor() duckdb.ScalarFuncExecutor {
	return duckdb.ScalarFuncExecutor{RowExecutor: func(values []driver.Value) (any, error) {
		// No address is in no network: ParseAddr's zero value is of neither family.
		address, _ := netip.ParseAddr(values[0].(string))
		network := f.networks.index(address)
		if network == 0 {
			return nil, nil
		}
		return network, nil
	}}
}

// typeInfo describes a plain type; only nested ones cannot be described by their type alone.
func typeInfo(t duckdb.Type) duckdb.TypeInfo {
	info, err := duckdb.NewTypeInfo(t)
	if err != nil {
		panic(err)
	}
	return info
}
